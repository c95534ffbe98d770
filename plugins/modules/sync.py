#!/usr/bin/python
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sync
short_description: Resync with a guest agent, and wait until it answers
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Resyncs the channel to a guest agent as the agent's protocol describes, which discards everything that an earlier
    client left in the channel, and returns what it found. This shows that the agent is there and answers.
  - Waits for a virtual machine that is still booting, if O(wait_timeout) allows it.
extends_documentation_fragment:
  - netless.qga.endpoint
  - netless.qga.attributes
  - netless.qga.attributes.actiongroup_qga
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    description: The module changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options:
  wait_timeout:
    description:
      - Seconds to wait for an agent that does not answer yet.
      - With V(0) there is one attempt, of O(timeout) seconds.
    type: float
    default: 0
seealso:
  - module: ansible.builtin.wait_for_connection
  - module: netless.qga.diagnosis_info
"""

EXAMPLES = r"""
- name: Wait until the virtual machine has booted, over its own connection
  netless.qga.sync:
    wait_timeout: 300

- name: Check on the hypervisor whether the agent of a domain answers
  netless.qga.sync:
    domain: web1

- name: Bring the channel of a virtual machine without libvirt back in sync
  netless.qga.sync:
    endpoint: unix:/run/vms/web1.sock
"""

RETURN = r"""
sync_id:
  description: The random number that the agent returned.
  type: int
  returned: success
  sample: 5577006791947779410
discarded:
  description: How many bytes of earlier sessions were discarded.
  type: int
  returned: success
  sample: 78
delimited:
  description:
    - Whether the reply began with the byte 0xFF, which occurs nowhere else.
    - It is V(false) for agents that do not know C(guest-sync-delimited), and through libvirt, which syncs by itself.
  type: bool
  returned: success
  sample: true
round_trip:
  description: Seconds from the request to the reply.
  type: float
  returned: success
  sample: 0.0021
waited:
  description: Seconds until the agent answered.
  type: float
  returned: success
  sample: 12.5
attempts:
  description: How many attempts it took.
  type: int
  returned: success
  sample: 3
agent_version:
  description: The version of the agent, which has the version number of its QEMU release.
  type: str
  returned: success
  sample: 7.2.22
"""

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.availability import wait_for_agent
from ansible_collections.netless.qga.plugins.module_utils._task.module import run_module
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task


def run(task: Task) -> Result:
    """Sync with the agent, and ask for its version."""
    agent_up = wait_for_agent(
        task.agent,
        attempt_timeout=task.target.connect_timeout,
        deadline=Deadline.after(task.params["wait_timeout"]),
    )
    return {**agent_up.as_result(), "agent_version": task.agent.info(task.deadline()).version}


OPERATION = Operation(run, {"wait_timeout": {"type": "float", "default": 0}})


def main() -> None:
    """Run as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
