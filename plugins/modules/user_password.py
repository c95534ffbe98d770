#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: user_password
short_description: Set the password of a guest's user
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Sets the password of a user in the guest. This works even if the agent may not run programs or handle files, as in
    RHEL and its relatives.
  - If the agent may read C(/etc/shadow), the module sets the password only if the user does not have it already.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    details: If the password cannot be compared, the module predicts a change.
  diff_mode:
    support: none
    details: Passwords are not shown.
  idempotent:
    support: partial
    details: The password can be compared if the agent may handle files and runs as root. To compare one that is not
      O(encrypted), the host where the module runs also needs a C(libcrypt) that knows the method of the hash in the
      guest. Otherwise the module sets the password each time.
  platform:
    support: full
    platforms: posix
options:
  user:
    description:
      - The user in the guest. The user has to exist.
    type: str
    required: true
  password:
    description:
      - The password, or its hash if O(encrypted=true).
      - The agent writes it to standard input of C(chpasswd) in the guest. It is neither in a log nor in a list of
        processes there.
    type: str
    required: true
  encrypted:
    description:
      - Whether O(password) is the hash of a password, as P(ansible.builtin.password_hash#filter) makes it.
      - The guest's policy for passwords does not apply to a hash. Use V(*) as O(password) for an account without a
        password.
    type: bool
    default: false
seealso:
  - module: ansible.builtin.user
    description: Does the same over the connection, and needs Python in the guest.
  - module: netless.qga.authorized_keys
"""

EXAMPLES = r"""
- name: Set a password, over the host's own connection
  netless.qga.user_password:
    user: alice
    password: "{{ alices_password }}"

- name: On the hypervisor, set a password and send the guest only its hash
  netless.qga.user_password:
    domain: web1
    user: root
    password: "{{ roots_password | ansible.builtin.password_hash('sha512', salt=roots_salt) }}"
    encrypted: true

- name: Leave an account in a QEMU virtual machine without a password
  netless.qga.user_password:
    endpoint: unix:/run/vms/db1.sock
    user: alice
    password: "*"
    encrypted: true
"""

RETURN = r"""
user:
  description: The user.
  type: str
  returned: success
  sample: alice
compared:
  description:
    - Whether the password that the user had could be compared with this one.
    - If not, the module sets the password and reports a change, which may not be one.
  type: bool
  returned: success
  sample: true
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.passwords import Password
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Set the password, unless the user has it already."""
    password = Password(task.params["user"], task.params["password"], encrypted=task.params["encrypted"])
    is_set = password.is_set(task.agent, task.deadline())
    if not is_set and not task.check_mode:
        password.set(task.agent, task.deadline())
    return {"changed": not is_set, "user": password.user, "compared": is_set is not None}


OPERATION = Operation(
    run,
    {
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "encrypted": {"type": "bool", "default": False},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
