# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replies and arguments of every command against QEMU's schema, and the limits of replies."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.reply_limits import reply_limits
from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_arguments, check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, ProtocolViolation
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import UnacceptableJson, decode, loads

NAMES = sorted(COMMANDS)

_MAX_ERROR = 1000


def reply(data: bytes) -> None:
    """Check a value as the reply to a command, and as its arguments."""
    command = NAMES[data[0] % len(NAMES)] if data else "guest-unknown"
    try:
        value = loads(decode(data[1:], Limits()), Limits())
    except UnacceptableJson:
        return
    _check(check_reply, ProtocolViolation, command, value)
    if isinstance(value, dict):
        _check(check_arguments, InvalidRequest, command, value)
        limits = reply_limits(command, value)
        assert 0 < limits.line <= DEFAULT_LIMITS.line
        assert 0 < limits.values <= DEFAULT_LIMITS.values


def _check(check: t.Callable[[str, t.Any], None], error: type[Exception], command: str, value: t.Any) -> None:
    try:
        check(command, value)
    except error as exc:
        text = str(exc)
        assert text.isprintable() and text.startswith((command, repr(command))) and len(text) < _MAX_ERROR
