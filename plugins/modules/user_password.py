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
  - Sets the password of a user in the guest. This works where the agent may not run programs nor handle files, as in
    RHEL and its relatives.
  - Where the agent may read C(/etc/shadow), the password is only set if it is not the user's already.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    details: Where the password cannot be compared, it predicts a change.
  diff_mode:
    support: none
    details: Passwords are not shown.
  idempotent:
    support: partial
    details: The password can be compared where the agent handles files and is root. One that is not O(encrypted) takes
      a C(libcrypt) on the host where the module runs that knows the method of the hash in the guest. Everywhere else
      the password is set each time.
  platform:
    support: full
    platforms: posix
options:
  user:
    description:
      - The user in the guest, who has to exist there.
    type: str
    required: true
  password:
    description:
      - The password, or its hash if O(encrypted=true).
      - It is on standard input of C(chpasswd) in the guest, and neither in its log nor in a list of processes.
    type: str
    required: true
  encrypted:
    description:
      - Whether O(password) is the hash of a password, as P(ansible.builtin.password_hash#filter) makes it.
      - The guest's policy for passwords does not matter then. V(*) as O(password) is for an account without one.
    type: bool
    default: false
seealso:
  - module: ansible.builtin.user
    description: Works over the connection, and needs Python in the guest.
  - module: netless.qga.authorized_keys
"""

EXAMPLES = r"""
- name: Set a password, over the host's own connection
  netless.qga.user_password:
    user: alice
    password: "{{ alices_password }}"

- name: Set one on the hypervisor, without telling the guest more than its hash
  netless.qga.user_password:
    domain: web1
    user: root
    password: "{{ roots_password | ansible.builtin.password_hash('sha512', salt=roots_salt) }}"
    encrypted: true

- name: Leave an account in a virtual machine of QEMU's without a password
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
    - If not, RV(ignore:changed) is true without anybody knowing.
  type: bool
  returned: success
  sample: true
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.passwords import Password
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Set the password, unless it is set."""
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
