#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: shutdown
short_description: Power a guest down, halt or reboot it, and verify that it happens
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Asks a guest to power down, halt or reboot itself through its agent, so that its services are stopped and its
    filesystems unmounted.
  - An agent does not answer when that succeeds. The module therefore waits until it can be seen from outside, and
    returns what has shown it in RV(evidence).
  - If the agent answers with an error, the task fails with that error.
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
      - A guest that is off is left off. Each run with O(mode=reboot) reboots the guest.
      - Without libvirt, see O(assume_off).
  platform:
    support: full
    platforms: all
options:
  mode:
    description:
      - What the guest does.
      - With V(powerdown) the guest shuts down and switches the virtual machine off.
      - With V(halt) the guest shuts down. The virtual machine keeps running with idle processors, unless the guest does
        the same as for V(powerdown).
      - With V(reboot) the guest shuts down and starts again.
    type: str
    choices: [powerdown, halt, reboot]
    default: powerdown
  wait:
    description:
      - Whether to wait until the guest is seen down, or back after a reboot.
      - With V(false), the module only waits some seconds for an error of the agent.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds until the guest has to be seen down. For O(mode=reboot), seconds until the agent has to answer again.
    type: float
    default: 300
  fallback:
    description:
      - What to do if the agent does not answer, refuses, or has not brought the guest down after half of
        O(wait_timeout).
      - With V(acpi) libvirt presses the power button, and the module waits for the rest of O(wait_timeout). Most guests
        then power down. For O(mode=reboot) libvirt then starts the virtual machine again. For O(mode=halt) the virtual
        machine is switched off as well.
      - V(acpi) needs an endpoint that goes through libvirt. A guest whose filesystems are frozen cannot power down
        either way, so the button is not pressed.
    type: str
    choices: [none, acpi]
    default: none
  assume_off:
    description:
      - Whether an endpoint that does not exist or where nobody listens means that the virtual machine is off. QEMU
        removes its sockets when it ends. Without this option such an endpoint is an error, as its name may be wrong.
      - An endpoint that cannot be reached is always an error, and so is a program of C(exec:) that ends at once. Both
        show nothing about the virtual machine.
      - The option makes no difference for O(mode=reboot), and none for endpoints that go through libvirt, which knows
        the state of the domain. A Unix socket that exists and refuses connections always means that its QEMU has ended.
    type: bool
    default: false
seealso:
  - module: netless.qga.suspend
  - module: netless.qga.fsfreeze
  - module: ansible.builtin.reboot
  - ref: ansible_collections.netless.qga.docsite.power_guide
    description: What each endpoint can show, and permissions.
"""

EXAMPLES = r"""
- name: Power the virtual machine down, over its own connection
  netless.qga.shutdown:

- name: Reboot the virtual machine, and wait until it is back
  netless.qga.shutdown:
    mode: reboot
    wait_timeout: 600

- name: Power a domain down on the hypervisor, with the power button if its agent does not do it
  netless.qga.shutdown:
    domain: web1
    fallback: acpi

- name: Power down a virtual machine without libvirt, which may be off already
  netless.qga.shutdown:
    endpoint: unix:/run/vms/web1.sock
    assume_off: true

- name: Power the virtual machine down without waiting for it
  netless.qga.shutdown:
    wait: false
"""

RETURN = r"""
mode:
  description: What the guest was asked to do.
  type: str
  returned: always
  sample: powerdown
evidence:
  description:
    - What has shown that the guest did it.
    - V(domain_off) means that libvirt reports the domain as off.
    - V(channel_closed) means that nobody is at the other end of the endpoint any more, because QEMU has ended. It is
      never returned for C(exec:), where V(agent_gone) is all that can be seen.
    - V(agent_gone) means that the agent has not answered for half a minute on a channel that is open. This happens
      after O(mode=halt), and with a QEMU that was started with C(-no-shutdown).
    - V(new_boot_id) means that the agent is back, in a boot with another id.
    - V(uptime_reset) means that the agent is back, and that the processors have been up for less time than before. It
      is used for agents that may not read files, from QEMU 7.1 on.
    - V(agent_returned) means that the agent was gone and is back. Other guests show no more than this.
    - V(no_error) means that the agent has not refused, and that the module waited for nothing else.
  type: str
  returned: if something was seen
  sample: domain_off
state:
  description:
    - The state of the guest now, one of V(off), V(halted) and V(running).
    - It is not known if the module did not wait, or saw nothing.
  type: str
  returned: if it is known
  sample: "off"
elapsed:
  description: Seconds that the module took.
  type: float
  returned: always
  sample: 8.3
fallback_used:
  description: Whether libvirt pressed the power button.
  type: bool
  returned: always
  sample: false
fallback_reason:
  description: Why libvirt pressed it. The module also warns with this text.
  type: str
  returned: if RV(fallback_used) is true
  sample: the agent did not bring the guest down within 150 s
boot_id_before:
  description: The id of the boot that a reboot ended.
  type: str
  returned: if it is known
  sample: 31557823-47ef-4b6c-a865-49271a1e7aff
boot_id_after:
  description: The id of the boot that a reboot began.
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
