# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Imports a library of the guest, and returns the value in it."""

from __future__ import annotations

import importlib
import sys

from ansible.module_utils.basic import AnsibleModule, missing_required_lib


def main() -> None:
    module = AnsibleModule({"name": {"type": "str", "required": True}})
    loaded = module.params["name"] in sys.modules
    try:
        library = importlib.import_module(module.params["name"])
    except ImportError:
        module.fail_json(msg=missing_required_lib(module.params["name"]), loaded=loaded)
    module.exit_json(value=library.VALUE, loaded=loaded)


if __name__ == "__main__":
    main()
