# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every value of a reply has its type, or the error names the endpoint, the command and the value."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.reply import ReplyReader
from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation

VALUES: list[t.Any] = [None, True, 0, 1.0, "1", [], {}]


READER = ReplyReader("unix:/s", "guest-exec")


@pytest.mark.parametrize("kind", [bool, int, float, str, list, dict])
def test_typed_accepts_one_type_only(kind: type[t.Any]) -> None:
    for value in VALUES:
        if value.__class__ is kind:
            assert READER.typed(value, kind, "here") is value
        else:
            expected = f"^unix:/s: guest-exec: here: expected {kind.__name__}, got {type(value).__name__}$"
            with pytest.raises(ProtocolViolation, match=expected):
                READER.typed(value, kind, "here")


def test_member_is_required_and_typed() -> None:
    assert READER.member({"pid": 7, "x": 1}, "pid", int) == 7
    for reply, reason in (
        ({}, "unix:/s: guest-exec: the reply has no 'pid'"),
        ([], "unix:/s: guest-exec: expected dict, got list"),
        (None, "unix:/s: guest-exec: expected dict, got NoneType"),
        ({"pid": True}, "unix:/s: guest-exec: pid: expected int, got bool"),
        ({"pid": None}, "unix:/s: guest-exec: pid: expected int, got NoneType"),
    ):
        with pytest.raises(ProtocolViolation) as caught:
            READER.member(reply, "pid", int)
        assert str(caught.value) == reason


def test_optional_member_has_a_default() -> None:
    assert READER.optional({"signal": 9}, "signal", 0) == 9
    assert READER.optional({}, "signal", 0) == 0
    for reply in ({"signal": None}, {"signal": "9"}, {"signal": False}, "signal"):
        with pytest.raises(ProtocolViolation, match=r"^unix:/s: guest-exec: "):
            READER.optional(reply, "signal", 0)


@pytest.mark.parametrize("text", ["", "AA==", "/+9h"])
def test_base64_is_decoded(text: str) -> None:
    assert isinstance(READER.from_base64("y", text), bytes)


@pytest.mark.parametrize("text", ["A", "AA", "AA=", "A\nA==", "AA==AA==", "-_9h", "é===", "\udc80"])
def test_malformed_base64_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"^unix:/s: guest-exec: 'y' is not base64$"):
        READER.from_base64("y", text)
