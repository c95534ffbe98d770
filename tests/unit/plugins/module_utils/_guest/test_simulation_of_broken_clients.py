# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simulations notice clients that break the rules, each in one place."""

from __future__ import annotations

import contextlib
import typing as t
from unittest import mock

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels import stream_channel
from ansible_collections.netless.qga.plugins.module_utils._channels.libvirt_channel import LibvirtChannel
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import runner
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import GuestProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_process import JobProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_state import JobState
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    EndpointUnavailable,
    GuestFileError,
    OutcomeUnknown,
)
from ansible_collections.netless.qga.plugins.module_utils.framing import session, sync
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Synced
from ansible_collections.netless.qga.plugins.module_utils.framing.state import IN_SYNC, State
from ansible_collections.netless.qga.tests.simulation.simulation import Simulation

# pylint: disable=protected-access

_MAX_SEEDS = 60

#: Replaces a part of the client.
Breakage = t.Callable[[], t.ContextManager[t.Any]]


def first_failure() -> str:
    """Return what did not hold, of the first seed that fails."""
    for seed in range(_MAX_SEEDS):
        try:
            Simulation(seed).run()
        except Exception as exc:  # pylint: disable=broad-exception-caught
            return f"{seed}: {exc!r}"
    return ""


def wrapped(owner: t.Any, name: str, wrapper: t.Callable[..., t.Any]) -> Breakage:
    """Replace a function by one that gets the function it replaces as its first argument."""
    original = getattr(owner, name)

    def replacement(*arguments: t.Any, **options: t.Any) -> t.Any:
        return wrapper(original, *arguments, **options)

    return lambda: mock.patch.object(owner, name, replacement)


def repeat(call: t.Any, *arguments: t.Any, **options: t.Any) -> t.Any:
    return call(*arguments, **{**options, "repeatable": True})


def repeat_writes(call: t.Any, agent: Agent, command: str, *arguments: t.Any, **options: t.Any) -> t.Any:
    return call(agent, command, *arguments, **{**options, "repeatable": command in ("guest-sync", "guest-file-write")})


def repeat_reads(call: t.Any, agent: Agent, command: str, *arguments: t.Any, **options: t.Any) -> t.Any:
    return call(agent, command, *arguments, **{**options, "repeatable": command in ("guest-sync", "guest-file-read")})


def take_any_id(match: t.Any, self: session.Session, line: t.Any, reply: dict[str, t.Any]) -> t.Any:
    if self._sync.echoes_ids:
        reply = {**reply, "id": next(iter(self._in_flight))}
    return match(self, line, reply)


def take_no_id(match: t.Any, self: session.Session, line: t.Any, reply: dict[str, t.Any]) -> t.Any:
    if self._sync.echoes_ids and "id" not in reply:
        reply = {**reply, "id": next(iter(self._in_flight))}
    return match(self, line, reply)


def take_any_sync(read: t.Any, self: sync.Sync, line: t.Any, *arguments: t.Any) -> t.Any:
    event = read(self, line, *arguments)
    return event or (Synced(self._sync_id, 0, True, self._sends_id) if line.sentinel else None)


def stay_in_sync(abandon: t.Any, self: session.Session) -> t.Any:
    state, in_flight = self._machine._state, dict(self._in_flight)
    abandon(self)
    if state in IN_SYNC:
        self._machine._state = State.IDLE
    return list(in_flight.values())


def ignore_what_came_before(is_ready: t.Any, self: stream_channel.StreamChannel, deadline: t.Any) -> bool:
    return self._transport is not None and self._session.state is State.IDLE


def miss_a_byte(read: t.Any, self: OpenFile, *arguments: t.Any) -> t.Any:
    data, eof = read(self, *arguments)
    return (data if eof else data[:-1]), eof


def write_border_twice(write_bytes: t.Any, files: Files, path: str, content: bytes, **options: t.Any) -> None:
    size = files._agent.chunk
    files.write(path, (content[max(0, at - (at > 0)) :][:size] for at in range(0, len(content), size)), **options)


def claim_nothing_was_sent(unknown: t.Any, *arguments: t.Any) -> t.Any:
    return EndpointUnavailable(str(unknown(*arguments)))


def send_again(exchange: t.Any, self: LibvirtChannel, *arguments: t.Any) -> t.Any:
    with contextlib.suppress(OutcomeUnknown):
        return exchange(self, *arguments)
    return exchange(self, *arguments)


def forget_the_claim(withdraw: t.Any, self: JobProcess) -> JobState:
    self.state = JobState(claimed=False, reason="gone")
    return self.state


def compress_all_but_the_end(compress: t.Any, data: bytes) -> bytes:
    return t.cast(bytes, compress(data)[:-1])


def answer_twice(write: t.Any, self: OpenFile, chunk: bytes, deadline: t.Any) -> None:
    write(self, chunk * 2 if chunk.startswith(b"secret") else chunk, deadline)


def never_close(close: t.Any, self: OpenFile, *arguments: t.Any) -> None:
    pass


def flush_without_a_check(flush_all: t.Any, self: OpenFile, size: int, deadline: t.Any) -> None:
    self.flush(deadline)


def end_early(chunks: t.Any, self: OpenFile, *arguments: t.Any) -> t.Iterator[bytes]:
    try:
        yield from chunks(self, *arguments)
    except GuestFileError as exc:
        if "ended after" not in str(exc):
            raise


def together(*breakages: Breakage) -> Breakage:
    """Return what breaks a client in several places."""

    @contextlib.contextmanager
    def broken() -> t.Iterator[None]:
        with contextlib.ExitStack() as stack:
            for breakage in breakages:
                stack.enter_context(breakage())
            yield

    return broken


BROKEN: dict[str, Breakage] = {
    "sends every command again": wrapped(Agent, "call", repeat),
    # The client itself would notice these.
    "writes a chunk again": together(
        wrapped(Agent, "call", repeat_writes), wrapped(OpenFile, "flush_all", flush_without_a_check)
    ),
    "reads a chunk again": together(wrapped(Agent, "call", repeat_reads), wrapped(OpenFile, "chunks", end_early)),
    "takes a reply with any id": wrapped(session.Session, "_match", take_any_id),
    "takes a reply without an id": wrapped(session.Session, "_match", take_no_id),
    "takes any delimited reply as that to its sync": wrapped(sync.Sync, "read", take_any_sync),
    "does not sync after a timeout": wrapped(session.Session, "abandon", stay_in_sync),
    "does not flush the agent's parser": lambda: mock.patch.object(sync, "SENTINEL", b""),
    "sends a request while lines are unread": wrapped(
        stream_channel.StreamChannel, "_is_ready", ignore_what_came_before
    ),
    "loses a byte at the end of a chunk": wrapped(OpenFile, "read", miss_a_byte),
    "writes the last byte of a chunk twice": wrapped(Files, "write_bytes", write_border_twice),
    "does not close files": wrapped(OpenFile, "_close", never_close),
    "reports that nothing was sent": wrapped(stream_channel, "lost_reply_error", claim_nothing_was_sent),
    "reports that libvirt sent nothing": wrapped(LibvirtChannel, "_unknown", claim_nothing_was_sent),
    "sends a command to libvirt again": wrapped(LibvirtChannel, "exchange", send_again),
    "does not connect to a restarted libvirtd": lambda: mock.patch.object(LibvirtDomain, "broken", False),
    "runs a job cold that a server may have": wrapped(JobProcess, "withdraw", forget_the_claim),
    "does not end programs": wrapped(GuestProcess, "terminate", never_close),
    "answers a prompt twice": wrapped(OpenFile, "write", answer_twice),
    "leaves temporary files": wrapped(runner.ProgramRunner, "close", never_close),
    "loses the end of what it compresses": wrapped(compression, "compress", compress_all_but_the_end),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_client_is_noticed(name: str) -> None:
    with BROKEN[name]():
        assert first_failure()
