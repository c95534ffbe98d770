# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read and write JSON of a peer that is not trusted: strictly, and within bounds that are checked before parsing."""

from __future__ import annotations

import json
import math
import re
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits

_QUOTE_OR_BRACKET = re.compile(r'["\[\]{}]')
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnacceptableJson(ValueError):
    """A text that is not JSON, or exceeds a bound. The message names the reason and quotes nothing of the text."""


def decode(data: bytes, limits: Limits) -> str:
    """Return a text for :func:`loads`. Its size in memory is checked before any of it is allocated.

    :raises UnacceptableJson: it is not UTF-8, or too long for its escapes or its characters outside ASCII.
    """
    if len(data) > limits.text and (not data.isascii() or b"\\" in data):
        raise UnacceptableJson(f"escapes or characters outside ASCII in more than {limits.text} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise UnacceptableJson("invalid UTF-8") from exc


def loads(text: str, limits: Limits) -> t.Any:
    """Parse one JSON text.

    :param text: from :func:`decode`. A peer that repeats a member, sends a number that is not finite, a lone surrogate
        or a raw control character does not speak the agent's protocol (QEMU's own parser refuses all of these).
    :param limits: its depth, number of values and digits are checked.
    :raises UnacceptableJson: the text is not JSON, or exceeds a limit.
    """
    _check_size(text, limits.depth, limits.values)

    def number(convert: t.Callable[[str], t.Any]) -> t.Callable[[str], t.Any]:
        def parse(digits: str) -> t.Any:
            # int() of a long text takes quadratic time on the older Pythons.
            if len(digits) > limits.digits:
                raise UnacceptableJson(f"a number of more than {limits.digits} digits")
            value = convert(digits)
            if isinstance(value, float) and not math.isfinite(value):
                raise UnacceptableJson("a number that is not finite")
            return value

        return parse

    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=number(int),
            parse_float=number(float),
            parse_constant=_refuse_constant,
        )
    except UnacceptableJson:
        raise
    except (ValueError, RecursionError) as exc:
        raise UnacceptableJson("not JSON") from exc
    if _SURROGATE_ESCAPE.search(text):
        _check_surrogates(value)
    return value


def dumps(value: t.Any) -> bytes:
    """Return a value as one JSON text, in ASCII only, so that no encoding on the way matters.

    :raises UnacceptableJson: it holds something that an agent cannot take: a NUL, which would end a C string there,
        text that is not UTF-8, a number that is not finite, or something that JSON does not have.
    """
    try:
        _check_text(value)
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
    except UnicodeEncodeError as exc:
        raise UnacceptableJson("text that is not UTF-8") from exc
    except UnacceptableJson:
        raise
    except (TypeError, ValueError) as exc:
        raise UnacceptableJson("something that JSON does not have") from exc


def _check_text(value: t.Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise UnacceptableJson("a NUL")
        if not value.isascii():
            value.encode("utf-8")
    elif isinstance(value, dict):
        for member in value.values():
            _check_text(member)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_text(item)


def _check_size(text: str, max_depth: int, max_values: int) -> None:
    # A value is followed by a comma or stands in a bracket of its own, and strings have two quotes, so this bounds what
    # the parser can allocate. Characters within strings count too: that errs on the safe side, and needs no scan.
    brackets = text.count("[") + text.count("{")
    if brackets + text.count(",") > max_values or text.count('"') > 4 * max_values:
        raise UnacceptableJson(f"more than {max_values} values")
    if brackets > max_depth:
        _check_depth(text, max_depth)


def _check_depth(text: str, max_depth: int) -> None:
    # Python's parser recurses, and its own limit differs from version to version.
    depth = 0
    in_string = False
    for match in _QUOTE_OR_BRACKET.finditer(text.replace("\\\\", "").replace('\\"', "")):
        character = match.group()
        if character == '"':
            in_string = not in_string
        elif in_string:
            continue
        elif character in "[{":
            depth += 1
            if depth > max_depth:
                raise UnacceptableJson(f"nested more than {max_depth} deep")
        else:
            depth -= 1


def _object(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UnacceptableJson("a member given twice")
    return members


def _refuse_constant(name: str) -> t.NoReturn:
    raise UnacceptableJson("a number that is not finite")


def _check_surrogates(value: t.Any) -> None:
    # Python's parser accepts a lone surrogate, and printing it would fail far from here.
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise UnacceptableJson("a lone surrogate")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_surrogates(name)
            _check_surrogates(member)
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item)
