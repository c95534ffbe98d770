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
  - Has a guest agent carry out one of its commands, as C(virsh qemu-agent-command) does. This does not run a program in
    the guest, which is what M(netless.qga.exec) is for.
  - Before it is sent, the command and its arguments are checked against QEMU's own description of them, and so is the
    reply.
  - Nothing else is done about it. Where there is a module for what a command does, use that. It knows what the reply
    means, what to do if there is none, and whether something was changed.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: partial
    details: Commands that only read are carried out. The others are checked and not sent.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Commands that only read report no change, all others do. Use C(changed_when) if you know better.
  platform:
    support: full
    platforms: all
options:
  command:
    description:
      - The command's name, for example V(guest-get-osinfo).
      - See U(https://www.qemu.org/docs/master/interop/qemu-ga-ref.html) for what there is.
    type: str
    required: true
  arguments:
    description: The command's arguments.
    type: dict
    default: {}
  validate:
    description:
      - Whether the command, its arguments and its reply have to be as QEMU describes them.
      - With V(false) anything is sent, for example a command of an agent that is newer than this collection, or that is
        not QEMU's.
    type: bool
    default: true
notes:
  - Commands that are silent when they succeed, like C(guest-shutdown) and C(guest-suspend-ram), are given five seconds,
    or O(timeout), to report an error. What became of the guest is not looked after. M(netless.qga.shutdown) and
    M(netless.qga.suspend) do that.
  - C(guest-sync-delimited) is refused. M(netless.qga.sync) does the same without harm.
  - Through libvirt, a reply of more than 4 MiB is lost, and one of more than 10 MiB breaks libvirt's link to the agent
    for all its users. Requests of more than 4 MiB, and a C(guest-file-read) of more than fits into such a reply, are
    refused. Use M(netless.qga.file) and M(netless.qga.exec) for much data.
  - Arguments are never part of the result. Yet Ansible shows and logs the options of a task, so use the keyword
    C(no_log) if there is a secret among them, or better M(netless.qga.user_password).
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

- name: On the hypervisor, have a domain take a block of its memory offline
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

- name: Send a command to a virtual machine of QEMU's that only a newer agent knows
  netless.qga.command:
    endpoint: unix:/run/vms/web1.sock
    command: guest-get-something-new
    arguments: {with-statistics: true}
    validate: false
"""

RETURN = r"""
reply:
  description:
    - What the agent returned, as it is.
    - It is V(null) for a command that is silent when it succeeds.
  type: raw
  returned: success, if the command was sent
  sample: {"id": "debian", "version-id": "12"}
"""

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.target import DEFAULT_TIMEOUT
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._schema.command_traits import (
    default_timeout,
    only_reads,
    refuse_sync_delimited,
)
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_arguments, is_silent
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task

# How long the error of a command is waited for that is silent otherwise.
_GRACE_SECONDS = 5.0


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
    # What it takes to get to the agent is no part of the silence.
    task.agent.sync(Deadline.after(task.target.connect_timeout))
    grace = _GRACE_SECONDS if task.target.limit is None else task.target.limit
    task.agent.call_silent(command, arguments, deadline=Deadline.after(grace))
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
