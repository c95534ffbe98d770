# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every value of a reply has its type, or the error names the value."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.reply import from_base64, member, optional, typed
from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation

VALUES: list[t.Any] = [None, True, 0, 1.0, "1", [], {}]


@pytest.mark.parametrize("kind", [bool, int, float, str, list, dict])
def test_typed_accepts_one_type_only(kind: type[t.Any]) -> None:
    for value in VALUES:
        if value.__class__ is kind:
            assert typed(value, kind, "here") is value
        else:
            expected = f"^here: expected {kind.__name__}, got {type(value).__name__}$"
            with pytest.raises(ProtocolViolation, match=expected):
                typed(value, kind, "here")


def test_member_is_required_and_typed() -> None:
    assert member("guest-exec", {"pid": 7, "x": 1}, "pid", int) == 7
    for reply, reason in (
        ({}, "guest-exec: the reply has no 'pid'"),
        ([], "guest-exec: expected dict, got list"),
        (None, "guest-exec: expected dict, got NoneType"),
        ({"pid": True}, "guest-exec: pid: expected int, got bool"),
        ({"pid": None}, "guest-exec: pid: expected int, got NoneType"),
    ):
        with pytest.raises(ProtocolViolation) as caught:
            member("guest-exec", reply, "pid", int)
        assert str(caught.value) == reason


def test_optional_member_has_a_default() -> None:
    assert optional("x", {"signal": 9}, "signal", 0) == 9
    assert optional("x", {}, "signal", 0) == 0
    for reply in ({"signal": None}, {"signal": "9"}, {"signal": False}, "signal"):
        with pytest.raises(ProtocolViolation, match=r"^x: "):
            optional("x", reply, "signal", 0)


@pytest.mark.parametrize("text", ["", "AA==", "/+9h"])
def test_base64_is_decoded(text: str) -> None:
    assert isinstance(from_base64("x", "y", text), bytes)


@pytest.mark.parametrize("text", ["A", "AA", "AA=", "A\nA==", "AA==AA==", "-_9h", "é===", "\udc80"])
def test_malformed_base64_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"^x: 'y' is not base64$"):
        from_base64("x", "y", text)
