#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authorized_keys
short_description: Manage the ssh keys that let in a guest's user
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Adds public keys to the file C(.ssh/authorized_keys) of a user in the guest, or removes them. If the file and its
    directory do not exist, the agent creates them, with access for the user only.
  - This works for a guest that has no key yet, and if the agent may not run programs or handle files, as in RHEL and
    its relatives. It needs an agent of QEMU 5.2 or newer.
  - A key with another comment or other options is the same key. The module then replaces its line.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
    details: If a user has no file with keys, the module cannot know whether the user exists.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  user:
    description:
      - The user in the guest. The user has to exist.
    type: str
    required: true
  keys:
    description:
      - The public keys, each as the line of a C(.pub) file, with or without options in front of it.
      - An element may have several lines, as a file with keys has. Empty lines and comments are ignored.
      - Use a list, even for one key, if there are options with commas.
    type: list
    elements: str
    required: true
  state:
    description:
      - Whether the keys have to be in the file.
      - With V(absent) the task fails if the agent is not allowed to read the file, because the keys may be in it.
    type: str
    choices: [absent, present]
    default: present
  exclusive:
    description:
      - Whether to remove all other keys. If there is anything to change, comments in the file are lost.
      - Only for O(state=present).
    type: bool
    default: false
notes:
  - The agent always uses C(.ssh/authorized_keys) in the user's home directory, even if C(AuthorizedKeysFile) in the
    guest's C(sshd_config) names another file.
  - With SELinux in the guest, it needs the boolean C(virt_qemu_ga_manage_ssh) there, which is off by default.
  - The agent ends the file without a newline. If you add a line with a shell, begin it with a newline.
seealso:
  - module: ansible.posix.authorized_key
    description: Does the same over the connection, and needs Python in the guest.
  - module: netless.qga.user_password
"""

EXAMPLES = r"""
- name: Let Alice in, over the host's own connection
  netless.qga.authorized_keys:
    user: alice
    keys:
      - "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"

- name: On the hypervisor, let only these in as root
  netless.qga.authorized_keys:
    domain: web1
    user: root
    keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO8mOh2BqsVUScKgZlBmZGAqYHcYbX2Fr5PmyHb1UsnO ops@example.org
      - from="10.0.0.1",no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMFBLvqYdZ9Y5i9eAyzwfGOTWqBMlIHlV06i2DJbmDwN backup
    exclusive: true

- name: Remove the keys of people who left from a QEMU virtual machine
  netless.qga.authorized_keys:
    endpoint: unix:/run/vms/db1.sock
    user: root
    keys: "{{ [lookup('ansible.builtin.file', 'keys/of-those-who-left')] }}"
    state: absent
"""

RETURN = r"""
user:
  description: The user.
  type: str
  returned: success
  sample: alice
authorized_keys:
  description: All lines with keys in the user's file. In check mode as they would be.
  type: list
  elements: str
  returned: success
  sample: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO8mOh2BqsVUScKgZlBmZGAqYHcYbX2Fr5PmyHb1UsnO ops@example.org"]
added:
  description: The lines that were added. In check mode those that would be.
  type: list
  elements: str
  returned: success
  sample: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO8mOh2BqsVUScKgZlBmZGAqYHcYbX2Fr5PmyHb1UsnO ops@example.org"]
removed:
  description: The lines that were removed. In check mode those that would be.
  type: list
  elements: str
  returned: success
  sample: []
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.authorized_keys import AuthorizedKeys
from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.key_plan import (
    as_text,
    plan_absent,
    plan_present,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.public_keys import parse_keys
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Add or remove keys."""
    user, present, exclusive = task.params["user"], task.params["state"] == "present", task.params["exclusive"]
    if exclusive and not present:
        raise InvalidRequest("exclusive=true is for state=present, and not for state=absent")
    lines = parse_keys(task.params["keys"])
    keys = AuthorizedKeys(task.agent, user, task.deadline)
    known = keys.read()
    plan = plan_present(known or [], lines, exclusive=exclusive) if present else plan_absent(known or [], lines)
    if task.check_mode:
        task.warnings.extend([keys.unreadable_warning] if known is None else [])
    elif known is None and not present:
        keys.verify_absent(lines)
    else:
        task.warnings.extend(keys.carry_out(plan))
    return {**task.changed(as_text(plan.before), as_text(plan.after)), **plan.as_result(), "user": user}


OPERATION = Operation(
    run,
    {
        "user": {"type": "str", "required": True},
        "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
        "exclusive": {"type": "bool", "default": False},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
