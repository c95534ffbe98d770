# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest agents as a source of events for ansible-rulebook."""

from __future__ import annotations

import asyncio
import os
import sys
import typing as t

DOCUMENTATION = r"""
---
short_description: Watch the guest agents of virtual machines that have no network
description:
  - An ansible-rulebook event source that asks the QEMU guest agents of virtual machines at regular intervals, and
    generates an event when an agent goes up or down, when its guest has rebooted, and when its filesystems stay frozen.
  - It needs no network in the guests, and nothing there but the agent. Agents that may neither run programs nor use
    files can be watched too.
  - All agents are asked at the same time. One that hangs delays no other. At most ten agents of one hypervisor are
    asked through libvirt at a time.
  - The source never changes anything in a guest. It holds an agent's channel only while it asks. Another client that
    holds the channel at that moment, for instance a play, does not make the agent count as down.
  - The endpoint C(libvirt) needs the Python library C(libvirt) in the environment of ansible-rulebook.
options:
  hosts:
    description:
      - The guests to watch. A string is the name or UUID of a libvirt domain.
      - A mapping may have the keys C(name), which events contain as C(host); C(domain), the name or UUID of the domain,
        by default the name; C(endpoint), as the connection's option of this name, by default C(libvirt); and C(uri).
    type: list
    elements: raw
  endpoints:
    description:
      - More agents to watch, by their endpoints only, for instance C(unix:/run/vms/web1.sock).
    type: list
    elements: str
  uri:
    description:
      - The libvirt URI of the hosts that have none.
    type: str
    default: qemu:///system
  interval:
    description:
      - The seconds from one question to the next, for each agent.
    type: float
    default: 10
  timeout:
    description:
      - The seconds that an agent may take for all answers to one question.
    type: float
    default: 5
  attempts:
    description:
      - How many questions in a row an agent has to leave unanswered until it counts as down.
    type: int
    default: 2
  frozen_for:
    description:
      - For how many seconds filesystems have to be frozen until that is an event, from when it was first seen.
    type: float
    default: 60
notes:
  - An event has one key, C(agent), which contains a mapping. Its key C(event) is one of the following.
  - C(up) - the agent answers. C(rebooted) in it is true if the guest has rebooted since the agent last answered, false
    if it has not and only the agent was away, and absent if that is not certain.
  - C(down) - the agent does not answer. C(reason) is the name of the error, for instance C(agent_silent), and
    C(message) is its text.
  - C(rebooted) - the guest runs in another boot. It follows an event C(up), or comes alone if the agent was not missed.
    C(evidence) is C(boot_id) if Linux's own identification of the boot has changed, and C(ticks) if the clock ticks of
    the processors have decreased, as agents report them that may not read files. An agent that was restarted is not a
    rebooted guest.
  - C(frozen) - filesystems are frozen for longer than O(frozen_for), which is seen once in each freeze. C(thawed)
    follows when they no longer are. C(seconds) in both is how long the freeze has been seen.
  - C(host), C(endpoint) and, for libvirt, C(domain) and C(uri) are in all events. C(up) and C(down) have C(first),
    which is true for the first event of an agent after the start, and C(seconds), for how long the agent was in the
    other state. C(version) is the agent's version.
"""

EXAMPLES = r"""
- name: React to guests of this hypervisor
  hosts: all
  sources:
    - netless.qga.agents:
        hosts:
          - web1
          - name: db1
            uri: qemu+ssh://root@hypervisor2/system?no_tty=1
        endpoints:
          - unix:/run/vms/build1.sock
        interval: 15
        frozen_for: 120
  rules:
    - name: A backup has left filesystems frozen
      condition: event.agent.event == "frozen"
      action:
        run_playbook:
          name: thaw.yml
          extra_vars:
            guest: "{{ event.agent.host }}"
    - name: A guest has rebooted
      condition: event.agent.event == "rebooted"
      action:
        debug:
          msg: "{{ event.agent.host }} has rebooted, as its {{ event.agent.evidence }} shows"
    - name: An agent that was up is down
      condition: event.agent.event == "down" and event.agent.first == false
      action:
        debug:
          msg: "{{ event.agent.message }}"
"""

# ansible-rulebook runs this file by its path, and makes no collection importable.
_ROOT = os.path.abspath(__file__).rpartition(f"{os.sep}ansible_collections{os.sep}")[0]
if _ROOT not in sys.path:
    sys.path.append(_ROOT)


class Queue(t.Protocol):
    """The queue of ansible-rulebook."""

    async def put(self, item: dict[str, t.Any]) -> None: ...


async def main(queue: Queue, args: dict[str, t.Any]) -> None:
    """Put an event into the queue whenever something changes at an agent, until this is cancelled.

    :param queue: takes the events.
    :param args: the options of the source.
    """
    from ansible_collections.netless.qga.plugins.module_utils._events.settings import parse_settings
    from ansible_collections.netless.qga.plugins.module_utils._events.watcher import Watcher

    async def emit(event: dict[str, t.Any]) -> None:
        await queue.put({"agent": event})

    await Watcher(parse_settings(args), emit).run()


if __name__ == "__main__":

    class PrintingQueue:
        """A queue that prints events."""

        async def put(self, item: dict[str, t.Any]) -> None:
            """Print one."""
            print(item)

    asyncio.run(main(PrintingQueue(), {"endpoints": sys.argv[1:]}))
