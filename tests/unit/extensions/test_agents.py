# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source itself: what it puts into the queue, with agents that hang, and how it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import typing as t

import pytest
import yaml

from ansible_collections.netless.qga.extensions.eda.plugins.event_source import agents
from ansible_collections.netless.qga.plugins.module_utils._events import watcher
from ansible_collections.netless.qga.plugins.module_utils._events.observation import Observation
from ansible_collections.netless.qga.plugins.module_utils._events.settings import parse_settings
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, LibraryMissing
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

QUICK = {"interval": 0.02, "timeout": 20, "attempts": 1, "frozen_for": 0}
Event = dict[str, t.Any]
Steps = t.Callable[["asyncio.Queue[Event]"], t.Awaitable[None]]


def run(arguments: dict[str, t.Any], steps: Steps) -> None:
    """Run the source until the steps are done, and cancel it."""

    async def both() -> None:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        source = asyncio.ensure_future(agents.main(queue, {**QUICK, **arguments}))
        try:
            await asyncio.wait_for(steps(queue), 60)
            assert not source.done()
        finally:
            source.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(source, 10)

    asyncio.run(both())


async def next_event(queue: asyncio.Queue[Event], name: str) -> Event:
    """Return the next event, which has to have this name."""
    event = await queue.get()
    assert set(event) == {"agent"}
    assert event["agent"]["event"] == name
    return t.cast(Event, event["agent"])


def test_agent_comes_and_goes() -> None:
    agent = ScriptedAgent()
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(agent.listening())

        async def steps(queue: asyncio.Queue[Event]) -> None:
            event = await next_event(queue, "up")
            expected = {"event": "up", "first": True, "host": "web1", "endpoint": f"unix:{path}", "version": "9.2.0"}
            assert event == expected
            stack.close()
            event = await next_event(queue, "down")
            assert event["reason"] == "endpoint_unavailable" and path in event["message"]

        run({"hosts": [{"name": "web1", "endpoint": f"unix:{path}"}]}, steps)


def test_freeze() -> None:
    agent = ScriptedAgent()
    with agent.listening() as path:

        async def steps(queue: asyncio.Queue[Event]) -> None:
            await next_event(queue, "up")
            agent.frozen = True
            assert (await next_event(queue, "frozen"))["endpoint"] == f"unix:{path}"
            agent.frozen = False
            await next_event(queue, "thawed")

        run({"endpoints": [f"unix:{path}"]}, steps)


def test_agent_that_hangs_delays_no_other() -> None:
    hanging, other = ScriptedAgent(), ScriptedAgent()
    hanging.silent = True
    with hanging.listening() as first, other.listening() as second:

        async def steps(queue: asyncio.Queue[Event]) -> None:
            await next_event(queue, "up")
            for dummy in range(3):
                other.frozen = not other.frozen
                await next_event(queue, "frozen" if other.frozen else "thawed")

        # The hanging one would be an event after more than the time of the test.
        run({"endpoints": [f"unix:{first}", f"unix:{second}"], "timeout": 600}, steps)


def test_library_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    release, calls = threading.Event(), []

    def hang(*arguments: t.Any) -> Observation:
        calls.append(arguments)
        release.wait(60)
        return Observation(True)

    monkeypatch.setattr(watcher, "observe", hang)
    monkeypatch.setattr(watcher, "_GRACE", 0.0)

    async def steps(queue: asyncio.Queue[Event]) -> None:
        assert "hangs" in (await next_event(queue, "down"))["message"]
        await asyncio.sleep(0.2)
        # There is no second thread next to the one that hangs.
        assert len(calls) == 1
        release.set()
        await next_event(queue, "up")

    run({"endpoints": ["unix:/hangs"], "timeout": 0.05}, steps)


def test_invalid_arguments_end_the_source() -> None:
    with pytest.raises(InvalidRequest, match="at least one agent"):
        asyncio.run(agents.main(asyncio.Queue(), {}))


def test_missing_library_ends_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: t.Any) -> Observation:
        raise LibraryMissing("the library is missing")

    monkeypatch.setattr(watcher, "observe", fail)
    with pytest.raises(LibraryMissing):
        asyncio.run(asyncio.wait_for(agents.main(asyncio.Queue(), {"hosts": ["web1"]}), 20))


def test_documented_options_are_the_accepted_ones() -> None:
    options = yaml.safe_load(agents.DOCUMENTATION)["options"]
    (example,) = yaml.safe_load(agents.EXAMPLES)[0]["sources"]
    assert set(options) == {"hosts", "endpoints", "uri", "interval", "timeout", "attempts", "frozen_for"}
    assert set(example["netless.qga.agents"]) <= set(options)
    settings = parse_settings(example["netless.qga.agents"])
    assert [guest.name for guest in settings.guests] == ["web1", "db1", "unix:/run/vms/build1.sock"]
