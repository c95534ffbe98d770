#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: shutdown
short_description: Power a guest down, halt or reboot it, and see that it happens
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Has a guest power down, halt or reboot itself through its agent, so that its services are stopped and its
    filesystems unmounted.
  - An agent gives no answer when that succeeds. So this waits until it is seen, and tells by what, in RV(evidence).
  - If the agent answers with an error, the task fails with it.
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
      - A guest that is off is left off. A reboot is one each time.
      - On an endpoint that is not one of libvirt's, see O(assume_off).
  platform:
    support: full
    platforms: all
options:
  mode:
    description:
      - What the guest does.
      - V(powerdown) ends it and switches the virtual machine off.
      - V(halt) ends it. The virtual machine goes on with processors that do nothing, unless the guest does the same as
        for V(powerdown).
      - V(reboot) ends it and starts it anew.
    type: str
    choices: [powerdown, halt, reboot]
    default: powerdown
  wait:
    description:
      - Whether to wait until it is seen that the guest has done so.
      - Without it, only an error of the agent's is waited for, for some seconds.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds until it has to be seen. For V(reboot) until the agent answers again.
    type: float
    default: 300
  fallback:
    description:
      - What to do if the agent does not answer, refuses, or has not brought the guest down after half of
        O(wait_timeout).
      - V(acpi) has libvirt press the power button, and waits for what is left of O(wait_timeout). Most guests then
        power down. For O(mode=reboot) libvirt starts the virtual machine anew after that, and for O(mode=halt) it is
        switched off as well.
      - It needs an endpoint of libvirt's. A guest whose filesystems are frozen could not power down either way, so the
        button is not pressed.
    type: str
    choices: [none, acpi]
    default: none
  assume_off:
    description:
      - Whether an endpoint that does not exist or where nobody listens means that the virtual machine is off. It is an
        error otherwise, as it may as well be spelled wrong. QEMU removes its sockets when it ends.
      - An endpoint that cannot be reached is an error in any case, and so is a program of C(exec:) that ends at once.
        Both say nothing about the virtual machine.
      - It makes no difference for O(mode=reboot), and for endpoints of libvirt's, where the state of the domain is
        known. A Unix socket that exists and refuses connections is that of a QEMU that has ended, in any case.
    type: bool
    default: false
seealso:
  - module: netless.qga.suspend
  - module: netless.qga.fsfreeze
  - module: ansible.builtin.reboot
  - ref: ansible_collections.netless.qga.docsite.power_guide
    description: What is seen on which endpoint, and permissions.
"""

EXAMPLES = r"""
- name: Power the virtual machine down, over its own connection
  netless.qga.shutdown:

- name: Reboot it, and wait until it is back
  netless.qga.shutdown:
    mode: reboot
    wait_timeout: 600

- name: Power a domain down on the hypervisor, by its power button if its agent does not
  netless.qga.shutdown:
    domain: web1
    fallback: acpi

- name: Power a virtual machine of QEMU's down, which may be off already
  netless.qga.shutdown:
    endpoint: unix:/run/vms/web1.sock
    assume_off: true

- name: Have it powered down, and do not wait for it
  netless.qga.shutdown:
    wait: false
"""

RETURN = r"""
mode:
  description: What the guest was told to do.
  type: str
  returned: always
  sample: powerdown
evidence:
  description:
    - What has shown it.
    - V(domain_off) is libvirt's word that the domain is off.
    - V(channel_closed) means that nobody is at the other end of the endpoint any more, as QEMU has ended. It is not
      told for C(exec:), where V(agent_gone) is all that can be said.
    - V(agent_gone) means that the agent has not answered for half a minute on a channel that is open, as after V(halt),
      or with a QEMU that was started with C(-no-shutdown).
    - V(new_boot_id) means that the agent is back, in a boot with another id.
    - V(uptime_reset) means that it is back, and that the processors have been up for less time than before. This is for
      agents that may not read files, from QEMU 7.1 on.
    - V(agent_returned) means that it was gone and is back, which is all that others show.
    - V(no_error) means that the agent has not refused it, and that nothing else was waited for.
  type: str
  returned: if something was seen
  sample: domain_off
state:
  description:
    - What the guest is now, one of V(off), V(halted) and V(running).
    - If nothing was waited for or seen, it is not known.
  type: str
  returned: if it is known
  sample: "off"
elapsed:
  description: Seconds that it took.
  type: float
  returned: always
  sample: 8.3
fallback_used:
  description: Whether libvirt pressed the power button.
  type: bool
  returned: always
  sample: false
fallback_reason:
  description: Why it did. A warning says so too.
  type: str
  returned: if RV(fallback_used) is true
  sample: the agent did not bring the guest down within 150 s
boot_id_before:
  description: The id of the boot that a reboot ended.
  type: str
  returned: if it is known
  sample: 31557823-47ef-4b6c-a865-49271a1e7aff
boot_id_after:
  description: The id of the boot that it began.
  type: str
  returned: if it is known
  sample: 6d9a0a5e-8b0c-4a8a-9c5e-0d8b6c0f0a11
"""

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.guest_monitor import GuestMonitor
from ansible_collections.netless.qga.plugins.module_utils._guest.power.shutdown import MODES, Shutdown
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def run(task: Task) -> Result:
    """Shut the guest down or reboot it, and wait until that is seen."""
    params = task.params
    fallback = params["fallback"] == "acpi"
    if fallback and task.domain is None:
        raise InvalidRequest(
            f"{task.agent.endpoint}: fallback=acpi needs a libvirt endpoint, as libvirt presses the power button"
        )
    shutdown = Shutdown(
        GuestMonitor(task.agent, task.domain, connect_timeout=task.target.connect_timeout),
        params["mode"],
        wait_timeout=params["wait_timeout"] if params["wait"] else None,
        fallback=fallback,
        libvirt_waits=task.target.address.uses_libvirt_rpc,
        warn=task.warnings.append,
    )
    result = shutdown.already_off(Deadline.after(task.target.connect_timeout), assume_off=params["assume_off"])
    if result is None:
        result = shutdown.check(task.deadline()) if task.check_mode else shutdown.run(task.deadline())
    return {**result.as_result(), **task.changed(*result.difference())}


OPERATION = Operation(
    run,
    {
        "mode": {"type": "str", "choices": list(MODES), "default": "powerdown"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "float", "default": 300},
        "fallback": {"type": "str", "choices": ["none", "acpi"], "default": "none"},
        "assume_off": {"type": "bool", "default": False},
    },
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
