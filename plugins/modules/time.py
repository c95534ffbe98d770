#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: time
short_description: Set a guest's clock
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Sets the guest's clock if it is too far off, for example after the guest was suspended or restored.
  - One of O(sync) and O(time) is required. To read the clock only, use M(netless.qga.time_info).
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
      - With O(sync=rtc) the module cannot know whether the clock is off, so it always sets the clock. It reports a
        change only if the clock was changed.
      - A O(time) that has passed since the last run is set again.
  platform:
    support: full
    platforms: all
options:
  sync:
    description:
      - With V(host), the guest's clock is set to the clock of the host where the module runs. This is the controller
        for a host whose connection is P(netless.qga.guest_agent#connection).
      - With V(rtc), the guest sets its clock to its own real-time clock, which QEMU keeps. Agents on Windows cannot do
        this.
    type: str
    choices: [host, rtc]
  time:
    description:
      - The time to set, as an ISO 8601 date and time that ends with V(Z) or an offset from UTC, or as seconds since
        1970.
    type: str
  max_drift:
    description:
      - Seconds that the guest's clock may be off without being set.
      - RV(uncertainty) is added to it, because the agent takes time to answer.
    type: float
    default: 1
notes:
  - The agent also sets the guest's real-time clock. Agents of QEMU before 9.0 need C(hwclock) in the guest for this,
    which is in the package C(util-linux-extra) in Debian and Ubuntu. Without it they refuse to set any clock.
  - A time service in the guest, like C(chrony), may set the clock back.
seealso:
  - module: netless.qga.time_info
"""

EXAMPLES = r"""
- name: Set a guest's clock to the controller's, over the host's own connection
  netless.qga.time:
    sync: host
  register: clock

- name: Set the clock of a domain that was just restored from a saved state, on its hypervisor
  netless.qga.time:
    domain: web1
    sync: host

- name: Set the clock of a QEMU virtual machine if it is more than a minute off
  netless.qga.time:
    endpoint: unix:/run/vms/web1.sock
    sync: host
    max_drift: 60

- name: Set a guest's clock to a certain time for a test
  netless.qga.time:
    time: "2038-01-19T03:14:00Z"
"""

RETURN = r"""
time:
  description: What the guest's clock shows. In check mode what it would show, as far as that can be known.
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
drift_before:
  description: Seconds that the guest's clock was ahead before it was set.
  type: float
  returned: success
  sample: -3600.0421
"""

from ansible_collections.netless.qga.plugins.module_utils._guest.clock import Clock, parse
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Read the clock, set it if it is off, and read it again."""
    wanted = None if task.params["time"] is None else parse(task.params["time"])
    clock = Clock(task.agent, task.deadline, max_drift=task.params["max_drift"], check_mode=task.check_mode)
    if wanted is not None:
        adjustment = clock.set(wanted)
    elif task.params["sync"] == "rtc":
        adjustment = clock.follow_rtc()
    else:
        adjustment = clock.follow_host()
    result = adjustment.as_result(diff_mode=task.diff_mode)
    adjustment.require_reached(task.agent.endpoint, result)
    task.warnings.extend(adjustment.warnings)
    return result


OPERATION = Operation(
    run,
    {
        "sync": {"type": "str", "choices": ["host", "rtc"]},
        "time": {"type": "str"},
        "max_drift": {"type": "float", "default": 1},
    },
    {"mutually_exclusive": [("sync", "time")], "required_one_of": [("sync", "time")]},
)


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
