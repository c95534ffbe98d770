# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leaves a child in the background that has the module's standard output open, and writes a file a second later."""

from __future__ import annotations

import atexit
import os
import time

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule({"path": {"type": "path", "required": True}})
    path = module.params["path"]
    if os.fork() == 0:
        os.setsid()
        time.sleep(1)
        print("late output of a child", flush=True)
        with open(f"{path}.child", "w", encoding="ascii") as file:
            file.write("written by a child")
        os._exit(0)
    with open(os.path.join(module.tmpdir, "hazard"), "w", encoding="ascii"):
        atexit.register(lambda: open(f"{path}.atexit", "w", encoding="ascii").close())
    module.exit_json(tmpdir=os.path.dirname(module.tmpdir))


if __name__ == "__main__":
    main()
