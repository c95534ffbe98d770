#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: time_info
short_description: Read a guest's clock
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Returns what time it is in the guest, and how far the guest's clock is off the clock of the host where the module
    runs. This is the controller for a host whose connection is P(netless.qga.guest_agent#connection).
  - To set the clock, use M(netless.qga.time).
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options: {}
seealso:
  - module: netless.qga.time
  - module: netless.qga.guest_info
"""

EXAMPLES = r"""
- name: Read a guest's clock over its own connection
  netless.qga.time_info:
  register: clock

- name: Fail if it is off
  ansible.builtin.assert:
    that: clock.drift | abs <= 1 + clock.uncertainty
    fail_msg: The guest's clock is {{ clock.drift }} s ahead

- name: On the hypervisor, read the clock of a domain
  netless.qga.time_info:
    domain: web1

- name: Read the clock of a QEMU virtual machine
  netless.qga.time_info:
    endpoint: unix:/run/vms/web1.sock
"""

RETURN = r"""
time:
  description: What the guest's clock shows.
  type: dict
  returned: success
  contains:
    nanoseconds:
      description: Nanoseconds since 1970 in UTC.
      type: int
      sample: 1767225600123456000
    iso8601:
      description: The same as a date and time in UTC.
      type: str
      sample: "2026-01-01T00:00:00.123456Z"
drift:
  description:
    - Seconds that the guest's clock is ahead of the clock of the host where the module runs. Negative if it is behind.
  type: float
  returned: success
  sample: -0.0421
uncertainty:
  description: Seconds that RV(drift) may be wrong, which is half of the time that the agent took to answer.
  type: float
  returned: success
  sample: 0.0011
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.clock import read_clock
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Read the clock."""
    return read_clock(task.agent, task.deadline).as_result()


OPERATION = Operation(run)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
