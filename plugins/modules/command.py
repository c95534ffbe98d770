#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: command
short_description: Send any command to a guest agent
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Sends one command to a guest agent, as C(virsh qemu-agent-command) does. This does not run a program in the guest,
    which is what M(netless.qga.exec) is for.
  - The module checks the command and its arguments against QEMU's own description of them before it sends them, and
    then the reply.
  - The module does nothing else. If there is another module for what a command does, use that module. It knows what the
    reply means, what to do if there is none, and whether something was changed.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: partial
    details: Commands that only read are sent. The others are checked and not sent.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Commands that only read report no change, all others report one. Use C(changed_when) if you know better.
  platform:
    support: full
    platforms: all
options:
  command:
    description:
      - The command's name, for example V(guest-get-osinfo).
      - See U(https://www.qemu.org/docs/master/interop/qemu-ga-ref.html) for the list of commands.
    type: str
    required: true
  arguments:
    description: The command's arguments.
    type: dict
    default: {}
  validate:
    description:
      - Whether the command, its arguments and its reply have to be as QEMU describes them.
      - With V(false) the module sends anything, for example a command of an agent that is newer than this collection,
        or that is not QEMU's.
    type: bool
    default: true
notes:
  - Some commands, like C(guest-shutdown) and C(guest-suspend-ram), send no reply when they succeed. The module gives
    them five seconds, or O(timeout), to report an error. It does not check what happens to the guest.
    M(netless.qga.shutdown) and M(netless.qga.suspend) do that.
  - The module refuses C(guest-sync-delimited). M(netless.qga.sync) does the same without harm.
  - Through libvirt, a reply of more than 4 MiB is lost, and one of more than 10 MiB breaks libvirt's link to the agent
    for all its users. Requests of more than 4 MiB, and a C(guest-file-read) of more than fits into such a reply, are
    refused. Use M(netless.qga.file) and M(netless.qga.exec) for large amounts of data.
  - Arguments are never part of the result. However, Ansible shows and logs the options of a task, so use the keyword
    C(no_log) if they contain a secret. For passwords, M(netless.qga.user_password) is better.
seealso:
  - name: QEMU Guest Agent Protocol Reference
    description: The commands, their arguments and what they return.
    link: https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
  - module: netless.qga.guest_info
  - module: netless.qga.exec
"""

EXAMPLES = r"""
- name: Ask a guest which filesystems it has mounted
  netless.qga.command:
    command: guest-get-fsinfo
  register: filesystems

- name: On the hypervisor, take a block of a domain's memory offline
  netless.qga.command:
    domain: web1
    command: guest-set-memory-blocks
    arguments:
      mem-blks:
        - phys-index: 12
          online: false
  register: result
  changed_when: result is changed and (result.reply is not defined or result.reply[0].response == "success")
  failed_when: result is failed or (result.reply is defined and result.reply[0].response != "success")

- name: Send a QEMU virtual machine a command that only a newer agent knows
  netless.qga.command:
    endpoint: unix:/run/vms/web1.sock
    command: guest-get-something-new
    arguments: {with-statistics: true}
    validate: false
"""

RETURN = r"""
reply:
  description:
    - What the agent returned, unchanged.
    - It is V(null) for a command that sends no reply when it succeeds.
  type: raw
  returned: success, if the command was sent
  sample: {"id": "debian", "version-id": "12"}
"""

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.target import DEFAULT_TIMEOUT
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._schema.command_traits import (
    default_timeout,
    is_silent,
    only_reads,
    refuse_sync_delimited,
)
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_arguments
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task

# How long to wait for the error of a command that sends no reply when it succeeds.
_ERROR_TIMEOUT = 5.0


def run(task: Task) -> Result:
    """Check the command, and send it."""
    command, arguments = task.params["command"], task.params["arguments"]
    refuse_sync_delimited(command)
    if task.params["validate"]:
        check_arguments(command, arguments)
    changed = not only_reads(command)
    if changed and task.check_mode:
        return {"changed": True}
    return {"changed": changed, "reply": _send(task, command, arguments)}


def _send(task: Task, command: str, arguments: t.Mapping[str, t.Any]) -> t.Any:
    if not is_silent(command):
        return task.agent.call(command, arguments, deadline=task.deadline(default_timeout(command, DEFAULT_TIMEOUT)))
    # Reaching the agent must not use up the time for its error.
    task.agent.sync(Deadline.after(task.target.connect_timeout))
    timeout = _ERROR_TIMEOUT if task.target.limit is None else task.target.limit
    task.agent.call_silent(command, arguments, deadline=Deadline.after(timeout))
    return None


OPERATION = Operation(
    run,
    {
        "command": {"type": "str", "required": True},
        "arguments": {"type": "dict", "default": {}},
        "validate": {"type": "bool", "default": True},
    },
    native_calls=False,
    validate_replies=lambda params: bool(params["validate"]),
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
