# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor on which one call of the Python library libvirt fails."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import typing as t
import weakref
from dataclasses import dataclass

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .hypervisor import NATIVE_CALLS, Failure
from .streaming_hypervisor import StreamingHypervisor

_CONNECTION_CALLS = ("close", "isAlive", "lookupByName", "newStream", "open", "setKeepAlive")
_DOMAIN_CALLS = ("XMLDesc", "command", "connect", "openChannel", "state", *NATIVE_CALLS)
_LIBRARY_CALLS = (
    "registerErrorHandler",
    "virEventAddTimeout",
    "virEventRegisterDefaultImpl",
    "virEventRunDefaultImpl",
    "virEventUpdateTimeout",
)
# What the guest carries out; libvirt itself does the rest.
_CARRIED_OUT = ("command", "reboot", "send", "shutdownFlags", *NATIVE_CALLS)


@dataclass(frozen=True)
class Breakage:
    """An error of libvirt.

    :param code: its code.
    :param message: its text.
    :param is_lost: whether the connection to libvirt is gone.
    :param is_done: whether the guest has carried the call out all the same.
    """

    code: int
    message: str
    is_lost: bool = False
    is_done: bool = False


class Stream:
    """The end of a stream that the client has, with an agent at the other one."""

    def __init__(self, hypervisor: FaultyHypervisor) -> None:
        self._hypervisor = hypervisor
        self._agent: contextlib.AbstractContextManager[socket.socket] = hypervisor.guest.connected()
        self.socket = self._agent.__enter__()
        self.socket.setblocking(False)
        self.send = hypervisor.fallible("send", self.socket.send)
        self.recv = hypervisor.fallible("recv", self._receive)
        self.abort = hypervisor.fallible("abort", self.end)

    def _receive(self, size: int) -> bytes | int:
        try:
            return self.socket.recv(size)
        except BlockingIOError:
            return -2

    def end(self) -> None:
        """End the stream. May be called again."""
        with contextlib.suppress(OSError):
            # Otherwise the agent notices only a while later.
            self.socket.shutdown(socket.SHUT_RDWR)
        agent, self._agent = self._agent, contextlib.nullcontext(self.socket)
        agent.__exit__(None, None, None)


class FaultyHypervisor(StreamingHypervisor):
    """See the module.

    :param at: the number of the call that fails, from 0; None only counts the calls.
    """

    # pylint: disable=invalid-name  # they are libvirt's

    def __init__(self, breakage: Breakage, at: int | None) -> None:
        super().__init__()
        self._breakage = breakage
        self.at = at
        self.calls = 0
        """How many calls were made so far."""
        self.where = ""
        """The call that has failed."""
        self.closes = 0
        """How many connections were closed, or could not be."""
        self.guest = ScriptedAgent()
        """The agent at the other end of streams."""
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        for name in (*_CONNECTION_CALLS, *_DOMAIN_CALLS):
            setattr(self, name, self.fallible(name, getattr(self, name)))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().install(monkeypatch)
        library = sys.modules["libvirt"]
        for name in _LIBRARY_CALLS:
            monkeypatch.setattr(library, name, self.fallible(name, getattr(library, name)))

    def fallible(self, name: str, function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        """Return a function that may fail."""

        def call(*arguments: t.Any) -> t.Any:
            number, self.calls = self.calls, self.calls + 1
            self.closes += name == "close"
            if number != self.at:
                return function(*arguments)
            self.where = name
            if self._breakage.is_done and name in _CARRIED_OUT:
                function(*arguments)
            self.alive = self.alive and not self._breakage.is_lost
            raise Failure(self._breakage.code, self._breakage.message)

        return call

    def run_loop(self) -> None:
        arriving = [stream.socket for stream in self.streams if stream.socket.fileno() >= 0]
        select.select(arriving, [], [], self.wait / 1000)

    def newStream(self, flags: int) -> Stream:  # type: ignore[override]
        stream = Stream(self)
        self.streams.add(stream)
        return stream

    def openChannel(self, name: str, stream: t.Any) -> None:
        assert stream in self.streams
