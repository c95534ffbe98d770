# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frames of yamux, in which the bytes of many streams travel over one connection.

yamux (https://github.com/hashicorp/yamux/blob/master/spec.md) is the smallest protocol in wide use that has all that
forwards need: streams that either side opens, a window for each stream, half-close, reset, and pings. HTTP/2 and the
channels of SSH have it too, with negotiation, compression of headers or encryption around it that has no use here.
SOCKS and the PROXY protocol carry one connection each. The only implementation in Python is part of py-libp2p. It needs
trio, and a guest has the standard library only.

Both ends use this file: it runs on Python 3.8, imports the standard library only, and does no input or output.
"""

from __future__ import annotations

import struct
import typing as t

# Version, type, flags, stream and length.
_HEADER = struct.Struct(">BBHII")
HEADER_SIZE = _HEADER.size
_VERSION = 0

#: The types of frames. The length of those without data is a number: bytes of credit, a number to repeat, or a reason.
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)

#: The flags of frames.
SYN, ACK, FIN, RST = 1, 2, 4, 8

#: The credit that each side of a new stream has, in bytes.
INITIAL_WINDOW = 256 * 1024

#: No data frame has more bytes, so that an incomplete one takes little memory. yamux itself does not limit this.
MAX_DATA = 64 * 1024


class Violation(Exception):
    """The other side sent what the protocol does not allow."""


class Frame(t.NamedTuple):
    """One frame.

    :param kind: its type.
    :param flags: its flags.
    :param stream: the stream's number; 0 in frames about the connection.
    :param number: the length field of a frame without data.
    :param data: the data.
    """

    kind: int
    flags: int
    stream: int
    number: int = 0
    data: bytes = b""


def encode(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    number = len(frame.data) if frame.kind == DATA else frame.number
    return _HEADER.pack(_VERSION, frame.kind, frame.flags, frame.stream, number) + frame.data


class FrameDecoder:
    """Received bytes, as frames."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def receive_data(self, data: bytes) -> t.Iterator[Frame]:
        """Take bytes that were received, and yield the frames that are complete.

        :raises Violation: something other than a frame was received.
        """
        self._unread += data
        start = 0
        while len(self._unread) - start >= HEADER_SIZE:
            version, kind, flags, stream, number = _HEADER.unpack_from(self._unread, start)
            if version != _VERSION or kind > GO_AWAY or (kind == DATA and number > MAX_DATA):
                raise Violation("a frame has another version, an unknown type or too much data")
            end = start + HEADER_SIZE + (number if kind == DATA else 0)
            if end > len(self._unread):
                break
            content = bytes(self._unread[start + HEADER_SIZE : end])
            start = end
            yield Frame(kind, flags, stream, 0 if kind == DATA else number, content)
        del self._unread[:start]
