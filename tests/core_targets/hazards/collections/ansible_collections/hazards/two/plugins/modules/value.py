# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Returns a value from module_utils of the same name in both collections."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hazards.two.plugins.module_utils.shared import VALUE  # type: ignore[import-not-found]


def main() -> None:
    AnsibleModule({}).exit_json(value=VALUE)


if __name__ == "__main__":
    main()
