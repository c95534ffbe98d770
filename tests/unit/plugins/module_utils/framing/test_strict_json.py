# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON of a peer that is not trusted is parsed as json.loads parses it, or refused."""

from __future__ import annotations

import json
import math
import typing as t

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import (
    UnacceptableJson,
    decode,
    loads,
)

JSON: st.SearchStrategy[t.Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def parse(text: bytes, *, depth: int = 100, values: int = 1000, digits: int = 64) -> t.Any:
    limits = Limits(depth=depth, values=values, digits=digits)
    return loads(decode(text, limits), limits)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_valid_json_is_parsed_like_the_standard_library(value: t.Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8")
    assert parse(text) == json.loads(text) == value


def agrees_or_refuses(text: bytes) -> None:
    try:
        value = parse(text)
    except UnacceptableJson:
        return
    assert value == json.loads(text)
    # A parsed value can be written again: it is finite and has no lone surrogates.
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")


@given(st.binary())
@example(b'{"a":1,"a":1}')
def test_any_bytes_are_parsed_or_refused(text: bytes) -> None:
    agrees_or_refuses(text)


TOKENS = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    '"',
    "\\",
    '\\"',
    "\\u",
    "d800",
    "\\udc00",
    "1",
    "-",
    "e9",
    "NaN",
    "null",
    " ",
    "\0",
]


@given(st.lists(st.sampled_from(TOKENS)).map("".join))
@example('"\\ud83d\\ude00"')
@example('"\\\\ud800"')
@example("[" * 101)
@example('{"\\ud800": 1}')
def test_any_tokens_are_parsed_or_refused(text: str) -> None:
    agrees_or_refuses(text.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"1 2", "not JSON"),
        (b"'a'", "not JSON"),
        (b"+1", "not JSON"),
        (b"01", "not JSON"),
        (b".5", "not JSON"),
        (b"\xef\xbb\xbf1", "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b'"\x00"', "not JSON"),
        (b'"\\x41"', "not JSON"),
        (b'"\xff"', "invalid UTF-8"),
        (b'"\xc0\xaf"', "invalid UTF-8"),
        (b'"\xed\xa0\x80"', "invalid UTF-8"),
        (b'"\xf4\x90\x80\x80"', "invalid UTF-8"),
        (b"NaN", "a number that is not finite"),
        (b"[Infinity]", "a number that is not finite"),
        (b"-Infinity", "a number that is not finite"),
        (b"-1e999", "a number that is not finite"),
        (b'{"a":1,"\\u0061":2}', "a member given twice"),
        (b'[{"b":{"a":1,"a":1}}]', "a member given twice"),
        (b'"\\ud800"', "a lone surrogate"),
        (b'"\\ude00\\ud83d"', "a lone surrogate"),
        (b'{"\\uDFFF":1}', "a lone surrogate"),
        (b"1" * 65, "a number of more than 64 digits"),
        (b"0." + b"0" * 63, "a number of more than 64 digits"),
        (b"[" * 101 + b"]" * 101, "nested more than 100 deep"),
        (b"[" * 101, "nested more than 100 deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested more than 100 deep"),
        (b'["\\\\",' * 101, "nested more than 100 deep"),
        (b"[" + b"1," * 1000 + b"1]", "more than 1000 values"),
        (b"[" * 1001, "more than 1000 values"),
        (b'"' * 4001, "more than 1000 values"),
        (b'["\\ud800"]', "a lone surrogate"),
    ],
)
def test_unacceptable_text_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(UnacceptableJson) as caught:
        parse(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[" * 100 + b"]" * 100, None),
        (b"[[1],[2]]" * 1, [[1], [2]]),
        (b'"' + b"[" * 500 + b'\\"\\\\"', "[" * 500 + '"\\'),
        (b'["[\\"[", "\\\\"' + b",[]" * 200 + b"]", None),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\u0000\x7f"', "\0\x7f"),
        (b"-0", 0),
        (b"9" * 64, int("9" * 64)),
        (b" \t\r\n1 \t\r\n", 1),
    ],
)
def test_text_within_the_bounds_is_parsed(text: bytes, value: t.Any) -> None:
    parsed = parse(text)
    assert parsed == (json.loads(text) if value is None else value)


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"[[1],[1]]", 2),
        (b"[[],[[]]]", 3),
        (b"[[[1],[[2]]]]", 4),
        (b'["[",[[1]]]', 3),
        (b'["\\"[[",1]', 1),
        (b'["\\\\",[1]]', 2),
        (b'{"a":[{}],"b":[[{}]]}', 4),
    ],
)
def test_depth_is_that_of_the_deepest_value(text: bytes, depth: int) -> None:
    assert parse(text, depth=depth) == json.loads(text)
    with pytest.raises(UnacceptableJson, match=f"nested more than {depth - 1} deep"):
        parse(text, depth=depth - 1)


def test_quotes_are_bounded_like_values() -> None:
    # A value has at most four: its own, and those of its name.
    assert parse(b'{"a":"b"}', values=1) == {"a": "b"}
    with pytest.raises(UnacceptableJson, match="more than 1 values"):
        parse(b'"\\"\\"\\""', values=1)


def test_long_numbers_are_refused_at_any_limit() -> None:
    # A float cannot hold it. The error must be the same.
    assert parse(b"1" * 400, digits=1000) == int("1" * 400)
    with pytest.raises(UnacceptableJson, match="not finite"):
        parse(b"1" * 400 + b".0", digits=1000)
    with pytest.raises(UnacceptableJson):
        parse(b"1" * 1_000_000, digits=999_999)


def test_errors_quote_nothing_of_the_text() -> None:
    for text in (b'{"secret": ', b'{"secret": 1, "secret": 2}', b'"secret\xff"', b'"secret\\ud800"'):
        with pytest.raises(UnacceptableJson) as caught:
            parse(text)
        assert "secret" not in str(caught.value)


def test_largest_float_is_finite() -> None:
    value = parse(b"1.7976931348623157e308")
    assert math.isfinite(value)


@pytest.mark.parametrize("rest", ["\\n", "\xe9", "\U0001f600"])
def test_only_plain_ascii_may_be_longer_than_the_bound(rest: str) -> None:
    limits = Limits(text=20)
    assert decode(b'"%s"' % (b"a" * 1000), limits) == f'"{"a" * 1000}"'
    text = f'"{rest}"'.encode()
    assert decode(text + b" " * (20 - len(text)), limits)
    with pytest.raises(UnacceptableJson, match="escapes or characters outside ASCII in more than 20 bytes"):
        decode(text + b" " * (21 - len(text)), limits)
