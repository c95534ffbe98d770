# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream is cut into lines as by a naive model, at a cost that grows with its length only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import Line, LineDecoder
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing import line_model
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import ways_to_cut

LIMIT = 5

CASES = [
    (b"", []),
    (b"abc", []),
    (b"abc\n", [Line(b"abc", 4)]),
    (b"\n\n", [Line(b"", 1), Line(b"", 1)]),
    (b"a\nb\nc", [Line(b"a", 2), Line(b"b", 2)]),
    (b"a\r\n", [Line(b"a\r", 3)]),
    (b"a\0b\n", [Line(b"a\0b", 4)]),
    (b"\xffa\n", [Line(b"a", 3, sentinel=True)]),
    (b"\xff\n", [Line(b"", 2, sentinel=True)]),
    (b"\xff\xff\xffa\nb\n", [Line(b"a", 3, sentinel=True), Line(b"b", 2)]),
    (b"cut\xffa\n", [Line(b"a", 3, sentinel=True)]),
    (b"a\ncut\xffb\n\xffc\n", [Line(b"a", 2), Line(b"b", 3, sentinel=True), Line(b"c", 3, sentinel=True)]),
    (b"12345\n", [Line(b"12345", 6)]),
    (b"123456\na\n", [Line(b"", 7, overlong=True), Line(b"a", 2)]),
    (b"\xff123456\n", [Line(b"", 8, sentinel=True, overlong=True)]),
    (b"12345\xffa\n", [Line(b"a", 3, sentinel=True)]),
    (b"123456\xffa\n", [Line(b"", 6, overlong=True), Line(b"a", 3, sentinel=True)]),
    (b"\xff1234567\xff\xffa\n", [Line(b"", 8, sentinel=True, overlong=True), Line(b"a", 3, sentinel=True)]),
]


def lines_of(decoder: LineDecoder, pieces: list[bytes]) -> list[Line]:
    lines = []
    for piece in pieces:
        decoder.feed(piece)
        while True:
            line = decoder.next_line()
            if line is None:
                break
            lines.append(line)
    return lines


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_stream_is_cut_into_lines(stream: bytes, expected: list[Line]) -> None:
    for pieces in ways_to_cut(stream):
        decoder = LineDecoder(LIMIT)
        assert lines_of(decoder, pieces) == expected, pieces
        # Every byte is counted.
        assert sum(line.size for line in expected) + decoder.dropped + decoder.pending == len(stream), pieces


BYTES = st.lists(st.sampled_from([b"a", b"\n", b"\xff", b"bcd", b"\0"])).map(b"".join)


@given(st.lists(st.one_of(st.binary(), BYTES)))
def test_lines_agree_with_a_simple_model(pieces: list[bytes]) -> None:
    assert lines_of(LineDecoder(LIMIT), pieces) == line_model.lines_of(b"".join(pieces), LIMIT)


@given(read=st.lists(BYTES), unread=st.lists(BYTES))
def test_reset_forgets_everything(read: list[bytes], unread: list[bytes]) -> None:
    decoder = LineDecoder(LIMIT)
    lines = lines_of(decoder, read)
    for piece in unread:
        decoder.feed(piece)
    total = len(b"".join([*read, *unread]))
    handed_out = sum(line.size for line in lines) + decoder.dropped
    assert decoder.unread == total - handed_out
    assert decoder.reset() == total - handed_out
    assert (decoder.unread, decoder.pending, decoder.dropped, decoder.overlong) == (0, 0, 0, False)
    assert lines_of(decoder, [b"new\n"]) == [Line(b"new", 4)]


def test_reset_returns_how_many_bytes_it_forgets() -> None:
    decoder = LineDecoder(LIMIT)
    assert lines_of(decoder, [b"old\n", b"cut\xffab"]) == [Line(b"old", 4)]
    assert (decoder.dropped, decoder.pending, decoder.unread) == (3, 3, 3)
    decoder.feed(b"c\nd")
    assert decoder.reset() == 6
    assert (decoder.dropped, decoder.pending, decoder.unread) == (0, 0, 0)
    assert lines_of(decoder, [b"new\n"]) == [Line(b"new", 4)]


def test_unfinished_line_is_overlong_beyond_the_limit() -> None:
    decoder = LineDecoder(LIMIT)
    assert lines_of(decoder, [b"12345"]) == []
    assert not decoder.overlong
    assert lines_of(decoder, [b"6"]) == []
    assert decoder.overlong


def test_overlong_line_is_not_kept() -> None:
    decoder = LineDecoder(LIMIT)
    lines_of(decoder, [b"x" * 1000] * 100)
    assert decoder.pending == 100_000
    assert not decoder._parts and not decoder._pieces  # pylint: disable=protected-access


class CountingBytes(bytes):
    """Bytes that count how many of them are searched."""

    searched = 0

    def find(self, sub, start=0, end=None):  # type: ignore[no-untyped-def]
        found = super().find(sub, start)
        CountingBytes.searched += (found if found >= 0 else len(self)) - start
        return found


@pytest.mark.parametrize("unit", [b"a\n", b"\n", b"\xff", b"a\xff", b"\xff\n", b"aaaaaaaa"])
def test_each_byte_is_searched_a_bounded_number_of_times(unit: bytes) -> None:
    CountingBytes.searched = 0
    stream = CountingBytes(unit * 10_000)
    lines_of(LineDecoder(1_000_000), [stream])
    # Once for the LF and once for the sentinel.
    assert CountingBytes.searched <= 2 * len(stream)
