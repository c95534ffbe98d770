#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: suspend
short_description: Suspend a guest to its memory or its disk, see that it happens, and wake it up
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Has a guest suspend itself through its agent. It notices that, other than when its virtual machine is paused.
  - An agent gives no answer when that succeeds. So this waits until it is seen, and tells by what, in RV(evidence).
  - If the agent, or libvirt, answers with an error, the task fails with it. Not every guest and not every machine of
    QEMU's can be suspended.
  - If nothing is seen in time, the task fails with RV(ignore:error=outcome_unknown). The guest may still do it.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Through libvirt a guest that is suspended is left so, unless O(resume) is V(true).
      - On other endpoints a guest that is suspended cannot be told from one whose agent does not answer, which is an
        error.
  platform:
    support: full
    platforms: all
options:
  mode:
    description:
      - Where to.
      - V(ram) keeps the guest in its memory. Its virtual machine goes on, and waits to be woken up.
      - V(disk) writes its memory to its disk and switches the virtual machine off. It goes on when it is started.
      - V(hybrid) does the first after it has written its memory to its disk. Only Linux has it.
    type: str
    choices: [ram, disk, hybrid]
    default: ram
  resume:
    description:
      - Whether to wake the guest up when it was seen suspended, and to wait until its agent answers again.
      - A guest that is suspended already is only woken up.
      - It needs an endpoint of libvirt's, and another O(mode) than V(disk).
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds until the guest has to be seen suspended, and the same again until the agent of one that was woken up
        has to answer.
    type: float
    default: 120
seealso:
  - module: netless.qga.shutdown
  - ref: ansible_collections.netless.qga.docsite.power_guide
    description: What is seen on which endpoint, and what a domain needs to be suspended.
"""

EXAMPLES = r"""
- name: Suspend the virtual machine to its memory, over its own connection
  netless.qga.suspend:

- name: Wake a domain up on the hypervisor, or suspend it and wake it up at once
  netless.qga.suspend:
    domain: web1
    resume: true

- name: Suspend a virtual machine of QEMU's to its disk
  netless.qga.suspend:
    endpoint: unix:/run/vms/web1.sock
    mode: disk
"""

RETURN = r"""
mode:
  description: Where to the guest was suspended.
  type: str
  returned: always
  sample: ram
evidence:
  description:
    - What has shown it.
    - V(domain_suspended) is libvirt's word that the guest is suspended to its memory.
    - V(domain_off) is libvirt's word that the domain is off, as it is after O(mode=disk).
    - V(channel_closed) means that nobody is at the other end of the endpoint any more, as QEMU has ended.
    - V(agent_gone) means that the agent has not answered for ten seconds on a channel that is open.
  type: str
  returned: if something was seen
  sample: domain_suspended
state:
  description: What the guest is now, one of V(suspended), V(off) and V(running).
  type: str
  returned: if it is known
  sample: suspended
resumed:
  description: Whether it was woken up.
  type: bool
  returned: always
  sample: false
elapsed:
  description: Seconds that it took.
  type: float
  returned: always
  sample: 2.1
"""

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.guest_monitor import GuestMonitor
from ansible_collections.netless.qga.plugins.module_utils._guest.power.suspend import COMMANDS, DISK, Suspend
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Suspend the guest, wait until that is seen, and wake it up if asked to."""
    resume = task.params["resume"]
    if resume:
        _require_resumable(task)
    suspend = Suspend(
        GuestMonitor(task.agent, task.domain, connect_timeout=task.target.connect_timeout),
        task.params["mode"],
        wait_timeout=task.params["wait_timeout"],
        resume=resume,
        libvirt_waits=task.target.address.uses_libvirt_rpc,
    )
    result = suspend.already_suspended(Deadline.after(task.target.connect_timeout))
    if result is None:
        result = suspend.check(task.deadline()) if task.check_mode else suspend.run(task.deadline())
    if resume and not task.check_mode:
        result = suspend.wake_up(result)
    return {**result.as_result(), **task.changed(*result.difference()), "changed": result.changed}


def _require_resumable(task: Task) -> None:
    if task.domain is None:
        raise InvalidRequest(
            f"{task.agent.endpoint}: resume needs a libvirt endpoint, as libvirt wakes the guest up; nothing was done"
        )
    if task.params["mode"] == DISK:
        raise InvalidRequest(
            f"{task.agent.endpoint}: a guest that is suspended to its disk is off, and continues when it is started; "
            f"resume is for the other modes, and nothing was done"
        )


OPERATION = Operation(
    run,
    {
        "mode": {"type": "str", "choices": list(COMMANDS), "default": "ram"},
        "resume": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 120},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
