# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The multiplexer of streams: the bytes of yamux, the rules that the other side has to keep, and bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program import multiplexer as rules
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    INITIAL_WINDOW,
    MAX_DATA,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Frame,
    Violation,
    encode,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import (
    CONFIRMED,
    ENDED,
    GONE_AWAY,
    MAX_STREAMS,
    OPENED,
    RECEIVED,
    RESET,
    Event,
    Multiplexer,
)

OPEN_2 = encode(Frame(WINDOW_UPDATE, SYN, 2, 0))
PLENTY = 1 << 30


def guest() -> Multiplexer:
    return Multiplexer(is_client=False)


def controller() -> Multiplexer:
    return Multiplexer(is_client=True)


def receive(multiplexer: Multiplexer, data: bytes) -> list[Event]:
    return list(multiplexer.receive_data(data))


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (Frame(DATA, 0, 2, data=b"abc"), "00 00 0000 00000002 00000003 616263"),
        (Frame(DATA, FIN, 2), "00 00 0004 00000002 00000000"),
        (Frame(WINDOW_UPDATE, SYN, 1, 256), "00 01 0001 00000001 00000100"),
        (Frame(WINDOW_UPDATE, ACK, 1, 0), "00 01 0002 00000001 00000000"),
        (Frame(WINDOW_UPDATE, RST, 7, 0), "00 01 0008 00000007 00000000"),
        (Frame(PING, SYN, 0, 9), "00 02 0001 00000000 00000009"),
        (Frame(GO_AWAY, 0, 0, 2), "00 03 0000 00000000 00000002"),
    ],
)
def test_frames_have_the_bytes_of_the_specification(frame: Frame, data: str) -> None:
    assert encode(frame) == bytes.fromhex(data)


EVENTS = [
    (OPEN_2, [Event(OPENED, 2)]),
    (encode(Frame(DATA, SYN, 4, data=b"abc")), [Event(OPENED, 4), Event(RECEIVED, 4, b"abc")]),
    (encode(Frame(DATA, 0, 2, data=b"de")), [Event(RECEIVED, 2, b"de")]),
    (encode(Frame(PING, SYN, 0, 5)), []),
    (encode(Frame(PING, ACK, 0, 6)), [Event(CONFIRMED, number=6)]),
    (encode(Frame(DATA, FIN, 2, data=b"f")), [Event(RECEIVED, 2, b"f"), Event(ENDED, 2)]),
    (encode(Frame(WINDOW_UPDATE, RST, 4)), [Event(RESET, 4)]),
    (encode(Frame(DATA, 0, 4, data=b"late")), []),
    (encode(Frame(GO_AWAY, 0, 0, 98)), [Event(GONE_AWAY, number=98)]),
]


@pytest.mark.parametrize("size", [1, 2, 11, 13, 1000])
def test_events_do_not_depend_on_the_pieces(size: int) -> None:
    received = b"".join(data for data, dummy in EVENTS)
    multiplexer = controller()
    events = [
        event
        for start in range(0, len(received), size)
        for event in receive(multiplexer, received[start : start + size])
    ]
    assert events == [event for dummy, expected in EVENTS for event in expected]


@pytest.mark.parametrize(
    "data",
    [
        b"\x01" + bytes(11),
        encode(Frame(GO_AWAY, 0, 0))[:1] + b"\x04" + bytes(10),
        encode(Frame(DATA, SYN, 2, data=bytes(MAX_DATA + 1)))[:12],
        encode(Frame(WINDOW_UPDATE, SYN, 1)),
        encode(Frame(WINDOW_UPDATE, SYN, 0)),
        OPEN_2 + OPEN_2,
        encode(Frame(WINDOW_UPDATE, SYN, 4)) + OPEN_2,
        encode(Frame(DATA, 0, 2, data=b"x")),
        encode(Frame(DATA, 0, 1, data=b"x")),
        OPEN_2 + encode(Frame(DATA, FIN, 2)) + encode(Frame(DATA, 0, 2, data=b"x")),
        b"".join(encode(Frame(WINDOW_UPDATE, SYN, 2 + 2 * number)) for number in range(MAX_STREAMS + 1)),
        encode(Frame(PING, SYN, 0, 1)) * (rules._MAX_ANSWERS // 12 + 2),  # pylint: disable=protected-access
    ],
)
def test_breach_of_the_rules_is_an_exception(data: bytes) -> None:
    with pytest.raises(Violation):
        receive(controller(), data)


def test_more_data_than_the_window_is_an_exception() -> None:
    multiplexer = controller()
    receive(multiplexer, OPEN_2)
    chunk = encode(Frame(DATA, 0, 2, data=bytes(MAX_DATA)))
    with pytest.raises(Violation):
        for dummy in range(rules._LARGE_WINDOW // MAX_DATA + 1):  # pylint: disable=protected-access
            receive(multiplexer, chunk)


def test_windows_of_all_streams_are_bounded() -> None:
    multiplexer = controller()
    windows = 0
    for number in range(MAX_STREAMS):
        receive(multiplexer, encode(Frame(WINDOW_UPDATE, SYN, 2 + 2 * number)))
        windows += multiplexer._streams[2 + 2 * number].unused  # pylint: disable=protected-access
    assert windows <= 64 * 1024 * 1024


def test_no_more_is_sent_than_there_is_credit_for() -> None:
    one, other = guest(), controller()
    stream = one.open()
    with pytest.raises(ValueError, match="credit"):
        one.send(stream, bytes(INITIAL_WINDOW + 1))
    one.send(stream, bytes(INITIAL_WINDOW))
    assert one.credit(stream) == 0
    events = receive(other, one.take(PLENTY)[0])
    other.consumed(stream, sum(len(event.data) for event in events))
    receive(one, other.take(PLENTY)[0])
    # What the other side has not granted again yet is less than half of its window.
    assert one.credit(stream) >= rules._LARGE_WINDOW // 2  # pylint: disable=protected-access


def test_large_frame_is_split_where_the_room_ends() -> None:
    multiplexer, other = guest(), controller()
    stream = multiplexer.open()
    content = bytes(range(256)) * 512
    multiplexer.send(stream, content)
    first, second = multiplexer.take(70_000)[0], multiplexer.take(70_000)[0]
    assert 70_000 - 4096 <= len(first) <= 70_000 and multiplexer.backlog == 0
    assert b"".join(event.data for event in receive(other, first + second)) == content


def test_frames_stay_whole_and_a_ping_ends_what_has_to_be_confirmed() -> None:
    multiplexer = guest()
    stream = multiplexer.open()
    multiplexer.send(stream, bytes(200))
    first, number = multiplexer.take(100)
    assert (len(first), number) == (24, 1)
    assert multiplexer.take(200) == (b"", 0)
    second, number = multiplexer.take(224)
    assert (len(second), number) == (224, 2)
    assert multiplexer.backlog == 0
    events = receive(controller(), first + second)
    assert [event.kind for event in events] == [OPENED, RECEIVED]


def test_confirmations_are_not_confirmed() -> None:
    one, other = guest(), controller()
    one.ping()
    other.open()
    receive(other, one.take(PLENTY)[0])
    receive(one, other.take(PLENTY)[0])
    for dummy in range(2):
        receive(other, one.take(PLENTY)[0])
        receive(one, other.take(PLENTY)[0])
    assert one.take(PLENTY) == other.take(PLENTY) == (b"", 0)


def test_stream_is_forgotten_when_both_sides_have_ended_it() -> None:
    one, other = guest(), controller()
    stream = one.open()
    one.end(stream)
    assert [event.kind for event in receive(other, one.take(PLENTY)[0])] == [OPENED, ENDED]
    other.send(stream, b"after the end of the other side")
    other.end(stream)
    assert [event.kind for event in receive(one, other.take(PLENTY)[0])] == [CONFIRMED, RECEIVED, ENDED]
    assert not one.streams and not other.streams


STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["open", "send", "end", "reset", "carry"]), st.integers(0, 100_000)),
    max_size=60,
)


class TwoEnds:
    """Two ends, and what was sent and received on each stream in each direction."""

    def __init__(self) -> None:
        self.ends = (controller(), guest())
        self.sent: dict[tuple[int, int], bytearray] = {}
        self.received: dict[tuple[int, int], bytearray] = {}
        self.reset: set[int] = set()

    def carry(self, side: int, limit: int) -> None:
        other = self.ends[1 - side]
        for event in other.receive_data(self.ends[side].take(limit)[0]):
            if event.kind == RECEIVED:
                self.received.setdefault((side, event.stream), bytearray()).extend(event.data)
                other.consumed(event.stream, len(event.data))
            elif event.kind == RESET:
                self.reset.add(event.stream)

    def act(self, side: int, step: str, number: int) -> None:
        streams = sorted(self.ends[side].streams)
        if step == "open" and len(streams) < MAX_STREAMS // 2:
            self.ends[side].open()
        elif step == "carry":
            self.carry(side, MAX_DATA + 100 + number)
        elif streams:
            self.act_on(side, step, streams[number % len(streams)], number)

    def act_on(self, side: int, step: str, stream: int, number: int) -> None:
        end = self.ends[side]
        if step == "send" and not end._streams[stream].local_ended:  # pylint: disable=protected-access
            data = bytes([number % 256]) * min(number, end.credit(stream))
            end.send(stream, data)
            self.sent.setdefault((side, stream), bytearray()).extend(data)
        elif step == "end":
            end.end(stream)
        elif step == "reset":
            end.reset(stream)
            self.reset.add(stream)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_both_ends_agree_on_every_stream(steps: list[tuple[int, str, int]]) -> None:
    two = TwoEnds()
    for step in steps:
        two.act(*step)
    for dummy in range(4):
        for side in (0, 1):
            while two.ends[side].backlog:
                two.carry(side, PLENTY)
    assert set(two.ends[0].streams) == set(two.ends[1].streams)
    for key, data in two.sent.items():
        received = two.received.get(key, bytearray())
        assert received == data or (key[1] in two.reset and data.startswith(received))
