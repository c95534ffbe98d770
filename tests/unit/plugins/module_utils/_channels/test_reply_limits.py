# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reply is as long as its command can make it, and costs little more memory and time than its length."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.reply_limits import reply_limits
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import OutcomeUnknown, ProtocolViolation, QgaError
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._channels.flooding_connector import (
    FloodingConnector,
    cut,
)

MIB = 1024 * 1024
EMOJI = "😀".encode()

#: What a reply may take in addition to its own bytes.
MAX_MORE = 64 * MIB


def peak_of(action: t.Callable[[], t.Any]) -> tuple[t.Any, int]:
    """Return what an action returned or raised, and how many bytes of memory it took at most."""
    tracemalloc.start()
    try:
        result = action()
    except QgaError as exc:
        result = exc
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


def call(connector: FloodingConnector, command: str, **arguments: t.Any) -> tuple[t.Any, int]:
    agent = Agent(StreamChannel(connector, reply_timeout=240))
    return peak_of(lambda: agent.call(command, arguments, deadline=Deadline.after(240)))


def test_largest_result_of_a_program_is_read_within_its_memory() -> None:
    text = b"QUJD" * ((16 * MIB + 2) // 3)
    parts = [(b'"return": {"exited": true, "exitcode": 0, "out-data": "', 1), (b"QUJD", len(text) // 4)]
    parts += [(b'", "err-data": "', 1), (b"QUJD", len(text) // 4), (b'"}}\n', 1)]
    connector = FloodingConnector(cut(*parts))
    agent = Agent(StreamChannel(connector, reply_timeout=240))
    ended, peak = peak_of(lambda: guest_exec.status(agent, 1, deadline=Deadline.after(240)))
    assert len(ended.stdout) == len(ended.stderr) == len(text) // 4 * 3
    assert ended.stdout[-6:] == b"ABCABC"
    assert peak < connector.received + MAX_MORE


@pytest.mark.parametrize("count", [1 * MIB, 48 * MIB])
def test_file_is_read_within_its_memory(count: int) -> None:
    size = count // 3 * 3
    parts = [(b'"return": {"count": %d, "eof": true, "buf-b64": "' % size, 1), (b"QUJD", size // 3), (b'"}}\n', 1)]
    connector = FloodingConnector(cut(*parts))
    opened = OpenFile(Agent(StreamChannel(connector)), 1000, "/x")
    (chunk, eof), peak = peak_of(lambda: opened.read(Deadline.after(60), count))
    assert (len(chunk), chunk[-3:], eof) == (size, b"ABC", True)
    # No reply is longer than the last one, which is held twice, and the piece that was received last.
    assert peak < connector.received + MAX_MORE + MIB


@pytest.mark.parametrize("odd", [EMOJI, rb"\ud83d\ude00", rb"\n"])
@pytest.mark.parametrize("at_end", [True, False])
def test_long_reply_is_not_text(odd: bytes, at_end: bool) -> None:
    text = [(b"A", 60 * MIB), (odd, 1)]
    parts = [(b'"return": {"count": 1, "eof": true, "buf-b64": "', 1), *(text if at_end else text[::-1])]
    connector = FloodingConnector(cut(*parts, (b'"}}\n', 1)))
    result, peak = call(connector, "guest-file-read", handle=1, count=48 * MIB)
    assert isinstance(result, ProtocolViolation)
    assert f"escapes or characters outside ASCII in more than {4 * MIB} bytes. The answer to " in str(result)
    assert peak < connector.received + MAX_MORE


@pytest.mark.parametrize("odd", [EMOJI, rb"\ud83d\ude00"])
def test_longest_text_is_read_within_its_memory(odd: bytes) -> None:
    parts = [(b'"return": {"host-name": "', 1), (odd, 1), (b"A", 4 * MIB - 100), (b'"}}\n', 1)]
    connector = FloodingConnector(cut(*parts))
    result, peak = call(connector, "guest-get-host-name")
    assert result == {"host-name": "😀" + "A" * (4 * MIB - 100)}
    assert peak < connector.received + MAX_MORE


@pytest.mark.parametrize(
    "item",
    [b"[],", b"{},", b'{"a":{}},', b'{"a":1.5},', b'"a",', b"1.25,", b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6},'],
)
@pytest.mark.parametrize("odd", [b"1", b'"%s"' % EMOJI])
def test_most_values_are_read_within_their_memory(item: bytes, odd: bytes) -> None:
    count = 128 * 1024 // (item.count(b",") + item.count(b"{") + item.count(b"[")) - 4
    parts = [(b'"return": [', 1), (item, count), (odd, 1), (b" ", 4 * MIB - 200 - count * len(item)), (b"]}\n", 1)]
    connector = FloodingConnector(cut(*parts))
    result, peak = call(connector, "guest-get-fsinfo")
    assert len(result) == count + 1
    assert peak < connector.received + MAX_MORE


def test_most_names_are_read_within_their_memory() -> None:
    def pieces() -> t.Iterator[bytes]:
        yield b'"return": [{'
        for number in range(128 * 1024 - 10):
            yield b'"%06x":%d,' % (number, number + 1000)
        yield b'"":0}, "%s"]}\n' % EMOJI

    connector = FloodingConnector(pieces)
    result, peak = call(connector, "guest-get-fsinfo")
    assert len(result[0]) == 128 * 1024 - 9
    assert peak < connector.received + MAX_MORE


@pytest.mark.parametrize("command", ["guest-info", "guest-get-osinfo", "vendor-dump"])
def test_description_is_not_read_past_its_limit(command: str) -> None:
    connector = FloodingConnector(cut((b'"return": {"a": "', 1), (EMOJI, 20 * MIB), (b'"}}\n', 1)))
    result, peak = call(connector, command)
    limit = 512 * 1024 if command == "guest-info" else 4 * MIB
    assert isinstance(result, ProtocolViolation)
    assert f"a reply of more than {limit} bytes. The answer to " in str(result)
    assert connector.received < limit + 512 * 1024
    assert peak < 16 * MIB


def test_reply_without_a_request_is_not_read_past_its_limit() -> None:
    connector = FloodingConnector(cut((b'"return": {}}\n', 1), (b"A", 60 * MIB)))
    agent = Agent(StreamChannel(connector, connect_timeout=20))
    assert agent.call("guest-ping", deadline=Deadline.after(20)) == {}
    # The flood is dropped, the channel is synced, and the next answer is the right one.
    result, peak = peak_of(lambda: agent.call("guest-ping", deadline=Deadline.after(20)))
    assert result == {}
    assert peak < 16 * MIB


def test_limit_is_that_of_the_request_that_was_answered() -> None:
    # Another request in flight may have a longer reply.
    connector = FloodingConnector(cut((b'"return": {"a": "', 1), (b"A", MIB), (b'"}}\n', 1)))
    calls = [Call("guest-info"), Call("guest-get-osinfo")]
    with contextlib.closing(StreamChannel(connector)) as channel:
        with pytest.raises(ProtocolViolation, match=f"a reply of more than {512 * 1024} bytes"):
            channel.exchange(calls, Deadline.after(20))
        assert len(channel.exchange(calls[1:] * 2, Deadline.after(20))) == 2


def test_commands_of_an_agent_without_end_are_refused() -> None:
    item = b'{"name": "guest-x", "enabled": true},'
    connector = FloodingConnector(cut((b'"return": {"version": "1", "supported_commands": [', 1), (item, 30_000)))
    started = time.thread_time()
    result, dummy = call(connector, "guest-info")
    assert isinstance(result, ProtocolViolation)
    assert time.thread_time() - started < 5


def test_checking_a_reply_ends_at_the_deadline() -> None:
    # Each item passes, so that nothing but the deadline ends the check.
    item = b'{"logical-id":1,"online":true},'
    parts = [(b'"return": [', 1), (item, 20_000), (b'{"logical-id":1,"online":true}]}\n', 1)]
    connector = FloodingConnector(cut(*parts))

    class SlowItem(dict[str, t.Any]):
        def __contains__(self, name: object) -> bool:
            time.sleep(0.01)
            return super().__contains__(name)

    def check(command: str, reply: t.Any, deadline: Deadline) -> None:
        check_reply(command, [SlowItem(each) for each in reply], deadline)

    channel = StreamChannel(connector)
    channel.sync(Deadline.after(60))
    agent = Agent(channel, check_reply=check)
    started = time.monotonic()
    with pytest.raises(ProtocolViolation, match="holds more than can be checked before the deadline"):
        agent.call("guest-get-vcpus", deadline=Deadline.after(5))
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("flood", [b"\n", b" \n", b"\xff", b"x\xff", b'{"event":1}\n'])
def test_deadline_ends_a_flood_that_came_at_once(flood: bytes) -> None:
    # All of it takes many seconds, and the transport has it already.
    connector = FloodingConnector(lambda: [flood * (32 * MIB // len(flood))], with_id=False)
    channel = StreamChannel(connector)
    channel.sync(Deadline.after(20))
    # Processor time is the same on a machine that is busy.
    started = time.thread_time()
    with pytest.raises(OutcomeUnknown, match="no answer for"):
        channel.exchange([Call("guest-ping")], Deadline.after(0.2))
    assert time.thread_time() - started < 2


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        ("guest-file-read", {"count": 3}, 4 + 4096),
        ("guest-file-read", {}, 5464 + 4096),
        ("guest-file-read", {"count": 10**12}, 64 * MIB + 4096),
        ("guest-file-read", {"count": "many"}, 64 * MIB + 4096),
        ("guest-file-read", {"count": -1}, 4096),
        ("guest-exec-status", {"pid": 1}, 44739248 + 4096),
        ("guest-get-memory-blocks", {}, 4 * MIB),
    ],
)
def test_limit_follows_from_the_command(command: str, arguments: dict[str, t.Any], line: int) -> None:
    assert reply_limits(command, arguments).line == line
    assert reply_limits(command, arguments, Limits(line=7, values=3)) == Limits(line=7, values=3)
    assert line <= DEFAULT_LIMITS.line
