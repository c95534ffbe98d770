# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A libvirtd that talks to the agent of a model guest for its clients, as libvirt's qemu_agent.c does.

It does a plain sync of its own, serves one client at a time, and takes the next line after a sync as the reply to a
command. It loses its link to the agent for good when a line is not JSON. A random generator decides what happens in it.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import typing as t

from ansible_collections.netless.qga.tests.guests.libvirt_library import LibvirtError

from .clock import VirtualClock
from .model_guest import ModelGuest
from .model_libvirt import Connection

_RUNNING, _PAUSED = 1, 3

# Seconds for libvirt's own sync, and for a client that waits for another one's command.
_SYNC_TIMEOUT = 5.0
_JOB_TIMEOUT = 30.0

# A libvirtd was seen to restart in so many seconds.
_RESTART_TIME = 0.1


class Link:
    """The link between libvirtd and the agent."""

    def __init__(self) -> None:
        self.in_sync = False
        self.has_error = False
        self.connected_at = 0.0
        # When lines arrive.
        self.inbox: list[tuple[float, bytes]] = []


class ModelLibvirtd:
    """The daemon.

    :param faults: how likely each call has a fault, from 0 to 1. It may change any time.
    :param is_new: whether it has the errors of new versions.
    """

    def __init__(self, guest: ModelGuest, clock: VirtualClock, generator: random.Random) -> None:
        self.faults = 0.0
        self.generation = 0
        self.is_new = generator.random() < 0.5
        #: What was sent and received, and when.
        self.history: list[tuple[float, int]] = []
        self._guest = guest
        self._clock = clock
        self._random = generator
        self._patience = 0.0
        self._link = Link()
        self._busy_until = 0.0
        self._last_sync = 0
        self._paused_until = 0.0
        # What it sends when it can, although the client has given up.
        self._unsent: list[str] = []

    # The library's calls

    def open(self, uri: str) -> Connection:
        """Connect to the daemon."""
        kind = self._fault("refused", "hangs")
        if kind == "refused":
            raise LibvirtError(38, f"Failed to connect socket of {uri}: Connection refused")
        if kind == "hangs":
            self._hang()
        return Connection(self)

    def check_connection(self, generation: int) -> None:
        """Check that a connection leads to the daemon that runs now.

        :raises LibvirtError: it does not.
        """
        if generation != self.generation:
            raise LibvirtError(38, "Cannot write data: Broken pipe")

    def state(self, generation: int) -> int:
        """Return what the domain is doing."""
        kind = self._fault("restart", "hangs", "paused")
        if kind == "restart":
            self.disturb("libvirtd")
        elif kind == "hangs":
            self._hang()
        elif kind == "paused":
            self._paused_until = self._clock.now + self._random.choice([1.0, 20.0])
        self.check_connection(generation)
        return _PAUSED if self._clock.now < self._paused_until else _RUNNING

    def command(self, generation: int, text: str, seconds: int) -> str:
        """Carry out virDomainQemuAgentCommand."""
        self.check_connection(generation)
        kind = self._fault("busy", "queued", "restart before", "restart after", "hangs before", "hangs after")
        self._go_wrong_before(kind)
        self.check_connection(generation)
        self._take_job()
        self._check_link()
        request = json.loads(text)
        self._make_ready(json.dumps(request), seconds)
        self._send(json.dumps(request))
        self._go_wrong_after(kind)
        line = self._receive(self._clock.now + seconds)
        if line is None:
            self._link.in_sync = False
            raise self._timeout(f"command within '{seconds}' seconds")
        reply = self._parse(line)
        if "error" in reply:
            code = 113 if self.is_new else 1
            reason = reply["error"]["desc"]
            raise LibvirtError(code, f"unable to execute QEMU agent command '{request['execute']}': {reason}")
        return json.dumps(reply)

    def _go_wrong_before(self, kind: str) -> None:
        if kind == "busy":
            self._busy_until = self._clock.now + self._random.choice([0.5, 10.0, 45.0])
        elif kind == "queued":
            raise LibvirtError(9, "cannot acquire state change lock due to max_queued limit")
        elif kind == "restart before":
            self.disturb("libvirtd")
        elif kind == "hangs before":
            self._hang()

    def _go_wrong_after(self, kind: str) -> None:
        if kind == "restart after":
            self.disturb("libvirtd")
            raise LibvirtError(38, "Cannot recv data: Connection reset by peer")
        if kind == "hangs after":
            self._hang()

    def _make_ready(self, text: str, seconds: int) -> None:
        """Send what another client has given up, and sync.

        :param text: what is to be sent afterwards, and may be even if this client gives up.
        """
        for unsent in self._unsent:
            self._send(unsent)
        self._unsent = []
        if not self._link.in_sync:
            try:
                self._sync(seconds)
            except TimeoutError:
                self._unsent = [text] if self._random.random() < 0.5 else []
                raise

    # What happens to it

    def disturb(self, kind: str) -> None:
        """Restart ``libvirtd``, or do something to the guest, see :meth:`ModelGuest.disturb`."""
        if kind == "libvirtd":
            self.generation += 1
            self._clock.sleep(_RESTART_TIME)
            inbox, self._link = self._link.inbox, Link()
            # What the agent has sent is still in the socket, or is lost.
            self._link.inbox = inbox if self._random.random() < 0.5 else []
            self._link.connected_at = self._clock.now + self._random.choice([0.0, 0.5, 4.0])
            self._busy_until, self._unsent = 0.0, []
            return
        self._guest.disturb(kind)
        if kind in ("restart", "reboot"):
            self._link = Link()
            self._link.connected_at = self._clock.now + self._random.choice([0.0, 3.0])

    def is_clear(self) -> bool:
        """Whether the agent is connected, and nothing old is on the way to anybody."""
        return not self._link.inbox and self._clock.now >= max(self._link.connected_at, self._busy_until)

    def heal(self) -> None:
        """Stop everything that goes wrong. If the link has an error, only a restart of the agent ends it."""
        self.faults = 0.0
        if self._link.has_error:
            self.disturb("restart")
        self._clock.wait_until(max(self._link.connected_at, self._busy_until, self._paused_until))

    @contextlib.contextmanager
    def patience_until(self, at: float) -> t.Iterator[None]:
        """Set when the client gives up."""
        self._patience = at
        yield

    # The agent

    def _take_job(self) -> None:
        """Wait until no other client's command is in progress."""
        if self._busy_until > self._clock.now + _JOB_TIMEOUT:
            self._wait(self._clock.now + _JOB_TIMEOUT)
            raise LibvirtError(68, "cannot acquire state change lock (held by agent=remoteDispatchQemuAgentCommand)")
        self._wait(self._busy_until)

    def _check_link(self) -> None:
        if self._clock.now < self._link.connected_at:
            raise LibvirtError(86, "Guest agent is not responding: QEMU guest agent is not connected")
        if self._link.has_error:
            raise LibvirtError(86, "Guest agent is not responding: QEMU guest agent is not available due to an error")

    def _sync(self, seconds: int) -> None:
        # libvirtd takes the time in milliseconds. No two syncs are in the same one, except in virtual time.
        number = self._last_sync = max(int(self._clock.now * 1000), self._last_sync + 1)
        until = self._clock.now + (min(_SYNC_TIMEOUT, seconds) if self.is_new else _SYNC_TIMEOUT)
        self._send(json.dumps({"execute": "guest-sync", "arguments": {"id": number}}))
        while True:
            line = self._receive(until)
            if line is None:
                raise self._timeout("synchronization")
            with contextlib.suppress(ValueError):
                if json.loads(line).get("return") == number:
                    self._link.in_sync = True
                    return

    def _send(self, text: str) -> None:
        data = text.encode() + b"\n"
        self.history.append((self._clock.now, len(data)))
        kind = self._fault("lost", "cut", "restart", "reboot", "load", "save")
        if kind == "lost":
            return
        if kind == "cut":
            # The agent ends before it has read everything.
            data, kind = data[: self._random.randint(0, len(data))], "restart"
        for reply in self._guest.feed(data):
            self._answer(reply)
        if kind in ("restart", "reboot", "load", "save"):
            self.disturb(kind)

    def _answer(self, reply: bytes) -> None:
        kind, delay = self._fault("lost", "late", "garbage"), 0.0
        if kind == "lost":
            return
        if kind == "late":
            delay = self._random.choice([0.1, 3.0, 8.0, 20.0])
        if kind == "garbage":
            reply = reply[: self._random.randint(0, len(reply) - 1)] + b"\n"
        earliest = self._link.inbox[-1][0] if self._link.inbox else 0.0
        self._link.inbox.append((max(earliest, self._clock.now + 0.001 + delay), reply))

    def _receive(self, until: float) -> bytes | None:
        """Return the next line; None if there is none in time."""
        if self._clock.now < self._link.connected_at:
            # The agent was restarted.
            code = 112 if self.is_new else 86
            raise LibvirtError(code, "Guest agent is not responding: Guest agent disappeared while executing command")
        if not self._link.inbox or self._link.inbox[0][0] > until:
            self._wait(until)
            return None
        arrival, line = self._link.inbox[0]
        self._wait(arrival)
        self._link.inbox.pop(0)
        self.history.append((self._clock.now, -len(line)))
        return line

    def _parse(self, line: bytes) -> dict[str, t.Any]:
        try:
            return t.cast(dict[str, t.Any], json.loads(line))
        except ValueError:
            self._link.has_error = True
            raise LibvirtError(1, "internal error: cannot parse json") from None

    def _timeout(self, what: str) -> LibvirtError:
        if self.is_new and "command" in what:
            return LibvirtError(112, f"guest agent didn't respond to {what}")
        reason = f"guest agent didn't respond to {what}" if self.is_new else "Guest agent not available for now"
        return LibvirtError(86, f"Guest agent is not responding: {reason}")

    # Time

    def _fault(self, *kinds: str) -> str:
        return self._random.choice(kinds) if self._random.random() < self.faults else ""

    def _wait(self, until: float) -> None:
        """Move the clock.

        :raises TimeoutError: the client gives up before.
        """
        if until > self._patience:
            # The daemon goes on, and is busy as long. Then it is out of sync.
            self._link.in_sync = False
            if until < math.inf:
                self._busy_until = max(self._busy_until, until)
                self._link.inbox = [item for item in self._link.inbox if item[0] > until]
            self._clock.wait_until(self._patience)
            raise TimeoutError
        self._clock.wait_until(until)

    def _hang(self) -> None:
        self._wait(math.inf)
