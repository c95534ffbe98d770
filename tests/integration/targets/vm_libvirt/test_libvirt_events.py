# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source of events with a real libvirtd: a guest on both kinds of endpoints, and domains without an agent."""

from __future__ import annotations

import asyncio
import typing as t

import libvirt  # pylint: disable=import-error

from ansible_collections.netless.qga.extensions.eda.plugins.event_source import agents
from ansible_collections.netless.qga.tests.integration.targets.vm_libvirt.domains import GUEST, STREAM, URI

Event = dict[str, t.Any]


async def first_events(hosts: list[t.Any]) -> dict[str, Event]:
    """Return the first event of each host."""
    queue: asyncio.Queue[Event] = asyncio.Queue()
    options = {"hosts": hosts, "uri": URI, "interval": 1, "timeout": 10, "attempts": 1}
    source = asyncio.ensure_future(agents.main(queue, options))
    try:
        events = [(await asyncio.wait_for(queue.get(), 60))["agent"] for dummy in hosts]
        assert not source.done()
    finally:
        source.cancel()
        await asyncio.gather(source, return_exceptions=True)
    return {event["host"]: event for event in events}


def test_first_events(empty: libvirt.virDomain) -> None:
    stream = {"name": "stream", "domain": GUEST, "endpoint": STREAM}
    events = asyncio.run(first_events([GUEST, stream, empty.name(), "netless-nowhere"]))
    assert {host: event["event"] for host, event in events.items()} == {
        GUEST: "up",
        "stream": "up",
        empty.name(): "down",
        "netless-nowhere": "down",
    }
    assert events["stream"]["version"] == events[GUEST]["version"] != ""
    assert (events[GUEST]["domain"], events[GUEST]["uri"], events[GUEST]["first"]) == (GUEST, URI, True)
    assert events[empty.name()]["reason"] == "agent_silent"
    assert events["netless-nowhere"]["reason"] == "endpoint_unavailable"
    assert "there is no such domain" in events["netless-nowhere"]["message"]
