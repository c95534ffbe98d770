# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching guests at the same time: each in a thread of its own, so that one that hangs delays no other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._events.guest_state import Event, GuestState
from ansible_collections.netless.qga.plugins.module_utils._events.observation import Observation, observe
from ansible_collections.netless.qga.plugins.module_utils._events.settings import Guest, Settings
from ansible_collections.netless.qga.plugins.module_utils._guest.power.boot import Boot
from ansible_collections.netless.qga.plugins.module_utils._inventory.agent_query import channel_for_questions
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection_pool import ConnectionPool

T = t.TypeVar("T")
Emit = t.Callable[[Event], t.Awaitable[None]]

# libvirtd has 20 workers by default, and an agent that hangs occupies one.
_MAX_PARALLEL = 10

# An observation ends by itself at its deadline. If a library hangs all the same, the source waits so much longer.
_GRACE = 1.0


class Watcher:
    """All guests of a source.

    :param settings: what to watch.
    :param emit: takes each event.
    """

    def __init__(self, settings: Settings, emit: Emit) -> None:
        self._settings = settings
        self._emit = emit
        uris = {guest.address.uri for guest in settings.guests}
        self._pools = {uri: ConnectionPool() for uri in uris}
        self._hanging: dict[str, asyncio.Future[Observation]] = {}
        self._slots = {uri: asyncio.Semaphore(_MAX_PARALLEL) for uri in uris}

    async def run(self) -> None:
        """Watch until this is cancelled.

        :raises LibraryMissing: the library that reaches an agent is missing.
        """
        watches = [asyncio.ensure_future(self._watch(guest)) for guest in self._settings.guests]
        try:
            await asyncio.gather(*watches)
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            for pool in self._pools.values():
                # Closing a connection that hangs hangs too.
                threading.Thread(target=pool.close, daemon=True).start()

    async def _watch(self, guest: Guest) -> None:
        settings = self._settings
        state = GuestState(attempts=settings.attempts, frozen_for=settings.frozen_for)
        while True:
            started = time.monotonic()
            seen = await self._observe(guest, state.known_boot)
            for event in state.update(seen, time.monotonic()):
                await self._emit({**event, **_description(guest)})
            await asyncio.sleep(max(0.0, started + settings.interval - time.monotonic()))

    async def _observe(self, guest: Guest, known: Boot) -> Observation:
        slots = self._slots[guest.address.uri] if guest.address.uses_libvirt else contextlib.AsyncExitStack()
        async with slots:
            # A thread that hangs is left behind, and there is no second one before it ends.
            looking = self._hanging.pop(guest.name, None)
            if looking is None:
                deadline = Deadline.after(self._settings.timeout)
                pool = self._pools[guest.address.uri]
                agent = Agent(channel_for_questions(guest.address, deadline, pool))
                looking = in_thread(lambda: observe(agent, known, deadline))
            done = (await asyncio.wait([looking], timeout=self._settings.timeout + _GRACE))[0]
        if done:
            return looking.result()
        self._hanging[guest.name] = looking
        return Observation(False, reason="agent_silent", message=f"{guest.name}: the library that reaches it hangs")


def in_thread(function: t.Callable[[], T]) -> asyncio.Future[T]:
    """Call a function in a thread that does not keep the process from ending, and return its future result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(set_result: t.Callable[[t.Any], None], value: t.Any) -> None:
        if not future.done():
            set_result(value)

    def run() -> None:
        try:
            outcome: tuple[t.Callable[[t.Any], None], t.Any] = (future.set_result, function())
        except Exception as exc:  # pylint: disable=broad-exception-caught  # the future raises it
            outcome = (future.set_exception, exc)
        # The loop may have ended.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(deliver, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return future


def _description(guest: Guest) -> Event:
    address = guest.address
    libvirt = {"domain": address.domain, "uri": address.uri} if address.uses_libvirt else {}
    return {"host": guest.name, "endpoint": address.endpoint, **libvirt}
