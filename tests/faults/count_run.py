# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Ansible module that counts its executions: it appends a character to a file in the guest."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Append the character, and return that the module has run."""
    module = AnsibleModule({"counter": {"type": "str", "required": True}})
    with open(module.params["counter"], "a", encoding="ascii") as counter:
        counter.write("x")
    module.exit_json(answer="counted")


if __name__ == "__main__":
    main()
