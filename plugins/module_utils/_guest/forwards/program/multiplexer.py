# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A multiplexer of streams: one end of a yamux session, without any input or output.

The other end may be hostile. Whatever it sends, the memory that a session takes is bounded by the number of streams and
by their windows, and a breach of the rules is an exception.

Both ends use this file: it runs on Python 3.8 and imports the standard library only.
"""

from __future__ import annotations

import typing as t
from collections import deque

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    INITIAL_WINDOW,
    MAX_DATA,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Frame,
    FrameDecoder,
    Violation,
    encode,
)

#: How many streams may be open at a time.
MAX_STREAMS = 128

# The window of a stream, in bytes, if there are few. Many streams have the initial window.
_LARGE_WINDOW = 2 * 1024 * 1024
_MAX_LARGE_WINDOWS = 8

# What this end itself has to send stays far below this, in bytes. The rest are answers that the other side asks for.
_MAX_ANSWERS = 4 * 1024 * 1024

# The least data that a frame is split for, so that what is sent at a time gets full, in bytes.
_MIN_PART = 4096

_MAX_NUMBER = 2**32 - 1


class Event(t.NamedTuple):
    """What the other side did.

    :param kind: one of the constants below.
    :param stream: the stream.
    :param data: what was received.
    :param number: the number of a ping, or the reason for going away.
    """

    kind: str
    stream: int = 0
    data: bytes = b""
    number: int = 0


#: The other side opened a stream.
OPENED = "opened"
#: Data was received. The stream's window stays smaller until :meth:`Multiplexer.consumed` is called.
RECEIVED = "received"
#: The other side sends nothing more on the stream.
ENDED = "ended"
#: The other side reset the stream, which is forgotten.
RESET = "reset"
#: The other side has received everything up to the ping of that number.
CONFIRMED = "confirmed"
#: The other side opens no more streams.
GONE_AWAY = "gone away"


class _Stream:
    """What is known of an open stream.

    :param window: how much the other side may send at first.
    """

    def __init__(self, window: int) -> None:
        self.credit = INITIAL_WINDOW
        self.window = window
        self.unused = window
        self.consumed = 0
        self.local_ended = False
        self.remote_ended = False


class Multiplexer:
    """One end of a session.

    :param is_client: whether the streams that this end opens have odd numbers.
    :param max_data: the most data that one frame takes, in bytes.
    """

    def __init__(self, *, is_client: bool, max_data: int = MAX_DATA) -> None:
        self._next_stream = 1 if is_client else 2
        self._last_opened = 0
        self._max_data = max_data
        self._decoder = FrameDecoder()
        self._streams: dict[int, _Stream] = {}
        self._frames: deque[Frame] = deque()
        self._last_ping = 0
        #: How many bytes wait to be taken.
        self.backlog = 0

    @property
    def streams(self) -> t.Collection[int]:
        """The streams that are open."""
        return self._streams.keys()

    def credit(self, stream: int) -> int:
        """Return how many bytes may be sent on a stream now."""
        return self._streams[stream].credit

    def open(self) -> int:
        """Open a stream, and return its number."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        window = self._new_window()
        self._streams[stream] = _Stream(window)
        self._queue(Frame(WINDOW_UPDATE, SYN, stream, window - INITIAL_WINDOW))
        return stream

    def send(self, stream: int, data: bytes) -> None:
        """Send data on a stream, not more than its credit."""
        if len(data) > self._streams[stream].credit:
            raise ValueError("there is not enough credit")
        self._streams[stream].credit -= len(data)
        for start in range(0, len(data), self._max_data):
            self._queue(Frame(DATA, 0, stream, data=data[start : start + self._max_data]))

    def consumed(self, stream: int, size: int) -> None:
        """Note that so much of what was received on a stream takes no more memory."""
        state = self._streams.get(stream)
        if state is None:
            return
        state.consumed += size
        if not state.remote_ended and state.consumed >= state.window // 2:
            self._queue(Frame(WINDOW_UPDATE, 0, stream, state.consumed))
            state.unused += state.consumed
            state.consumed = 0

    def end(self, stream: int) -> None:
        """Send nothing more on a stream."""
        state = self._streams[stream]
        if not state.local_ended:
            state.local_ended = True
            self._queue(Frame(DATA, FIN, stream))
            self._forget_ended(stream)

    def reset(self, stream: int) -> None:
        """Reset a stream, which is forgotten."""
        if self._streams.pop(stream, None) is not None:
            self._queue(Frame(WINDOW_UPDATE, RST, stream))

    def go_away(self, reason: int = 0) -> None:
        """Report that this end opens no more streams, and wants no more."""
        self._queue(Frame(GO_AWAY, 0, 0, reason))

    def ping(self) -> int:
        """Have the other side confirm everything up to here, and return the number of the ping."""
        self._last_ping = self._last_ping % _MAX_NUMBER + 1
        self._queue(Frame(PING, SYN, 0, self._last_ping))
        return self._last_ping

    def take(self, limit: int, *, confirm: bool = False) -> tuple[bytes, int]:
        """Return the next bytes to send: complete frames, and a ping at their end if they have to be confirmed.

        :param limit: the most bytes. If not even one frame fits, or a part of one, nothing is returned.
        :param confirm: whether to add the ping in any case.
        :returns: the bytes, and the number of the ping; 0 if there is none.
        """
        taken, size, must_confirm = [], 0, False
        while True:
            frame = self._next_frame(limit - HEADER_SIZE - size)
            if frame is None:
                break
            # Nobody confirms confirmations.
            must_confirm = must_confirm or frame.kind != PING
            taken.append(encode(frame))
            size += len(taken[-1])
        if not taken or not (must_confirm or confirm):
            return b"".join(taken), 0
        self._last_ping = self._last_ping % _MAX_NUMBER + 1
        taken.append(encode(Frame(PING, SYN, 0, self._last_ping)))
        return b"".join(taken), self._last_ping

    def _next_frame(self, room: int) -> Frame | None:
        """Return the next frame if there is room for it, or for a good part of its data."""
        if not self._frames:
            return None
        frame = self._frames[0]
        size = HEADER_SIZE + len(frame.data)
        if size <= room:
            self.backlog -= size
            return self._frames.popleft()
        part = room - HEADER_SIZE
        if frame.kind != DATA or part < _MIN_PART:
            return None
        self.backlog -= part
        self._frames[0] = frame._replace(data=frame.data[part:])
        return frame._replace(data=frame.data[:part])

    def receive_data(self, data: bytes) -> t.Iterator[Event]:
        """Take bytes that were received, and yield what they mean.

        :raises Violation: the other side broke a rule. Nothing that it sends makes sense any more.
        """
        for frame in self._decoder.receive_data(data):
            if self.backlog > _MAX_ANSWERS:
                raise Violation("the other side asks for too many answers")
            if frame.kind == PING:
                if frame.flags & SYN:
                    self._queue(Frame(PING, ACK, 0, frame.number))
                else:
                    yield Event(CONFIRMED, number=frame.number)
            elif frame.kind == GO_AWAY:
                yield Event(GONE_AWAY, number=frame.number)
            else:
                yield from self._receive(frame)

    def _receive(self, frame: Frame) -> t.Iterator[Event]:
        """Take a frame of a stream."""
        stream = frame.stream
        if frame.flags & SYN:
            yield from self._accept(stream)
        state = self._streams.get(stream)
        if state is None:
            if not 0 < stream < self._next_stream and not 0 < stream <= self._last_opened:
                raise Violation("a frame belongs to a stream that was never opened")
            # This end has reset the stream, and the other side did not know yet.
            return
        if frame.flags & RST:
            del self._streams[stream]
            yield Event(RESET, stream)
            return
        if frame.kind == WINDOW_UPDATE:
            state.credit = min(_MAX_NUMBER, state.credit + frame.number)
        elif frame.data:
            if len(frame.data) > state.unused or state.remote_ended:
                raise Violation("a stream has more data than its window allows, or data after its end")
            state.unused -= len(frame.data)
            yield Event(RECEIVED, stream, frame.data)
        if frame.flags & FIN and stream in self._streams and not state.remote_ended:
            state.remote_ended = True
            yield Event(ENDED, stream)
            self._forget_ended(stream)

    def _accept(self, stream: int) -> t.Iterator[Event]:
        """Take a new stream of the other side."""
        if stream % 2 == self._next_stream % 2 or stream <= self._last_opened:
            raise Violation("a new stream has the number of another one")
        if len(self._streams) >= MAX_STREAMS:
            raise Violation("there are too many streams")
        self._last_opened = stream
        window = self._new_window()
        self._streams[stream] = _Stream(window)
        self._queue(Frame(WINDOW_UPDATE, ACK, stream, window - INITIAL_WINDOW))
        yield Event(OPENED, stream)

    def _new_window(self) -> int:
        return _LARGE_WINDOW if len(self._streams) < _MAX_LARGE_WINDOWS else INITIAL_WINDOW

    def _forget_ended(self, stream: int) -> None:
        state = self._streams.get(stream)
        if state is not None and state.local_ended and state.remote_ended:
            del self._streams[stream]

    def _queue(self, frame: Frame) -> None:
        self._frames.append(frame)
        self.backlog += HEADER_SIZE + len(frame.data)
