# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strict JSON, compared with Python's own parser."""

from __future__ import annotations

import json
import math
import re
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import (
    UnacceptableJson,
    decode,
    dumps,
    loads,
)

LIMITS = Limits(text=300, depth=6, values=40, digits=20)

_NUMBER = re.compile(r"[-+.0-9eE]+")


class Refused(Exception):
    """A text that Python's parser accepts and this collection must not."""


def strict_json(data: bytes) -> None:
    """Parse a text, and compare the value, or the refusal, with what the plain rules give."""
    try:
        text = decode(data, LIMITS)
    except UnacceptableJson:
        assert not _is_utf8(data) or len(data) > LIMITS.text
        return
    assert text.encode("utf-8") == data
    try:
        value = loads(text, LIMITS)
    except UnacceptableJson as exc:
        assert len(str(exc)) < 100
        assert not _must_be_accepted(text)
        return
    assert repr(value) == repr(_parse(text))
    assert _depth(value) <= LIMITS.depth and _values(value) <= LIMITS.values + 1
    _check_round_trip(value)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _parse(text: str) -> t.Any:
    """Return the value of a text by the plain rules.

    :raises Refused: it repeats a member, or has a number that is not finite, or a lone surrogate.
    """

    def members(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
        if len({name for name, dummy in pairs}) != len(pairs):
            raise Refused
        return dict(pairs)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise Refused
        return value

    value = json.loads(text, object_pairs_hook=members, parse_float=number, parse_constant=number)
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as exc:
        raise Refused from exc
    return value


def _must_be_accepted(text: str) -> bool:
    """Whether a text is JSON, obeys the plain rules, and is certainly within the limits."""
    if text.count("[") + text.count("{") + text.count(",") > LIMITS.values or text.count('"') > LIMITS.values:
        return False
    if any(len(number) > LIMITS.digits for number in _NUMBER.findall(text)):
        return False
    try:
        return _depth(_parse(text)) <= LIMITS.depth
    except (Refused, ValueError, RecursionError):
        return False


def _check_round_trip(value: t.Any) -> None:
    """Check that a value survives, or is refused because of a NUL."""
    try:
        sent = dumps(value)
    except UnacceptableJson:
        assert "\\u0000" in json.dumps(value)
        return
    assert sent.isascii() and b"\n" not in sent
    assert repr(json.loads(sent)) == repr(value)


def _depth(value: t.Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _values(value: t.Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_values, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_values, value))
    return 1
