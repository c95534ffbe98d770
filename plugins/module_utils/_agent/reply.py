# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads values out of replies. A guest may put anything there, so each is checked for its type on the way."""

from __future__ import annotations

import base64
import binascii
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation

T = t.TypeVar("T")


def typed(value: t.Any, kind: type[T], where: str) -> T:
    """The value, if it is of that type.

    :param where: names the value in the error, like ``guest-exec: pid``.
    :raises ProtocolViolation: it is of another type. True and False are no integers here, as in JSON.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ProtocolViolation(f"{where}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def member(command: str, reply: t.Any, name: str, kind: type[T]) -> T:
    """A member that QEMU's schema requires of the reply to that command."""
    members = typed(reply, dict, command)
    if name not in members:
        raise ProtocolViolation(f"{command}: the reply has no '{name}'")
    return typed(members[name], kind, f"{command}: {name}")


def optional(command: str, reply: t.Any, name: str, default: T) -> T:
    """A member that QEMU's schema makes optional, of the type of its default."""
    members = typed(reply, dict, command)
    return typed(members[name], type(default), f"{command}: {name}") if name in members else default


def from_base64(command: str, name: str, text: str) -> bytes:
    """The bytes of a base64 member.

    :raises ProtocolViolation: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ProtocolViolation(f"{command}: '{name}' is not base64") from exc
