# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cut the agent's byte stream into lines, and handle the 0xFF sentinel.

An agent's reply is one line of JSON that ends in LF. The byte 0xFF, which no UTF-8 text contains, stands right before
the reply to guest-sync-delimited; it ends whatever came before it (QEMU's qga/qapi-schema.json, guest-sync-delimited).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SENTINEL = b"\xff"


@dataclass
class Line:
    """One line without its LF.

    :param content: the bytes; empty if the line is overlong, or was parsed.
    :param size: how many bytes it took on the wire, with its LF and its sentinel.
    :param sentinel: whether a 0xFF stood right before it.
    :param overlong: whether it was longer than the limit, so that its content was dropped. The decoder returns such a
        line even if a sentinel cut it, so that the result is the same if the line is read before the sentinel comes.
    """

    content: bytes
    size: int
    sentinel: bool = False
    overlong: bool = False


class LineDecoder:
    """A decoder that takes bytes and returns lines. It searches each byte a bounded number of times, however it is fed.

    :param limit: how many bytes a line may have. A longer line is dropped as it arrives. The limit may change any time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: How many bytes were dropped in front of a sentinel since the last :meth:`reset`.
        self.dropped = 0
        self._pieces: deque[bytes] = deque()
        self._position = 0
        self._next: dict[bytes, int] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._sentinel = False

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        if data:
            self._pieces.append(data)

    def reset(self) -> int:
        """Forget everything that was fed and not yet returned, and return how many bytes that was."""
        forgotten = self.unread
        self._pieces.clear()
        self._start_piece()
        self._start_line()
        self.dropped = 0
        return forgotten

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished line were read."""
        return self._size + self._sentinel

    @property
    def unread(self) -> int:
        """How many bytes were fed that are not part of a returned line, and were not dropped."""
        return self.pending + sum(map(len, self._pieces)) - self._position

    @property
    def overlong(self) -> bool:
        """Whether the unfinished line is longer than the limit already."""
        return self._size > self.limit

    def next_line(self) -> Line | None:
        """Return the next whole line, or None until more is fed."""
        while self._pieces:
            piece = self._pieces[0]
            end = self._find(b"\n", piece)
            sentinel = self._find(SENTINEL, piece)
            if sentinel < end:
                self._collect(piece, sentinel)
                self._position = sentinel
                if self.overlong:
                    return self._finish_line()
                self.dropped += self.pending
                self._start_line(sentinel=True)
                self._position += 1
                continue
            self._collect(piece, end)
            if end == len(piece):
                self._pieces.popleft()
                self._start_piece()
                continue
            self._position = end + 1
            return self._finish_line(ending=1)
        return None

    def _find(self, byte: bytes, piece: bytes) -> int:
        # Search for each byte once per piece, not once per line: otherwise many short lines take quadratic time.
        if self._next.get(byte, -1) < self._position:
            found = piece.find(byte, self._position)
            self._next[byte] = found if found >= 0 else len(piece)
        return self._next[byte]

    def _collect(self, piece: bytes, stop: int) -> None:
        self._size += stop - self._position
        if self.overlong:
            self._parts.clear()
        elif stop > self._position:
            self._parts.append(piece[self._position : stop])

    def _finish_line(self, ending: int = 0) -> Line:
        line = Line(
            content=b"".join(self._parts),
            size=self.pending + ending,
            sentinel=self._sentinel,
            overlong=self.overlong,
        )
        self._start_line()
        return line

    def _start_piece(self) -> None:
        self._position = 0
        self._next.clear()

    def _start_line(self, *, sentinel: bool = False) -> None:
        self._parts.clear()
        self._size = 0
        self._sentinel = sentinel
