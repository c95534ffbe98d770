# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read values from replies and check their types, because a guest may send anything."""

from __future__ import annotations

import base64
import binascii
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation

T = t.TypeVar("T")


def typed(value: t.Any, kind: type[T], where: str) -> T:
    """Return the value if it has the type.

    :param value: from a reply.
    :param kind: the type.
    :param where: names the value in the error, like ``guest-exec: pid``.
    :raises ProtocolViolation: it has another type. True and False are not integers here, as in JSON.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ProtocolViolation(f"{where}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def member(command: str, reply: t.Any, name: str, kind: type[T]) -> T:
    """Return a member that QEMU's schema requires in the reply to a command.

    :raises ProtocolViolation: it is missing, or has another type.
    """
    members = typed(reply, dict, command)
    if name not in members:
        raise ProtocolViolation(f"{command}: the reply has no '{name}'")
    return typed(members[name], kind, f"{command}: {name}")


def optional(command: str, reply: t.Any, name: str, default: T) -> T:
    """Return a member that QEMU's schema makes optional.

    :param default: the value if it is missing. The member must have the same type.
    :raises ProtocolViolation: it has another type.
    """
    members = typed(reply, dict, command)
    return typed(members[name], type(default), f"{command}: {name}") if name in members else default


def from_base64(command: str, name: str, text: str) -> bytes:
    """Return the bytes of a base64 member.

    :raises ProtocolViolation: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ProtocolViolation(f"{command}: '{name}' is not base64") from exc
