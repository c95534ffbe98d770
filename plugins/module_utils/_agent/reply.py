# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read values from replies and check their types, because a guest may send anything."""

from __future__ import annotations

import binascii
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation

T = t.TypeVar("T")

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")


@dataclass(frozen=True)
class ReplyReader:
    """A reader of the replies to one command, whose errors name the endpoint, the command and the value.

    :param endpoint: the agent's endpoint.
    :param command: the command.
    """

    endpoint: str
    command: str

    def typed(self, value: t.Any, kind: type[T], name: str = "") -> T:
        """Return the value if it has the type.

        :param value: from a reply.
        :param kind: the type.
        :param name: the member that has the value; empty if it is the whole reply.
        :raises ProtocolViolation: it has another type. True and False are not integers here, as in JSON.
        """
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            where = f"{name}: " if name else ""
            raise self._violation(f"{where}expected {kind.__name__}, got {type(value).__name__}")
        return value

    def member(self, reply: t.Any, name: str, kind: type[T]) -> T:
        """Return a member that QEMU's schema requires.

        :raises ProtocolViolation: it is missing, or has another type.
        """
        members = self.typed(reply, dict)
        if name not in members:
            raise self._violation(f"the reply has no '{name}'")
        return self.typed(members[name], kind, name)

    def optional(self, reply: t.Any, name: str, default: T) -> T:
        """Return a member that QEMU's schema makes optional.

        :param default: the value if it is missing. The member must have the same type.
        :raises ProtocolViolation: it has another type.
        """
        members = self.typed(reply, dict)
        return self.typed(members[name], type(default), name) if name in members else default

    def from_base64(self, name: str, text: str) -> bytes:
        """Return the bytes of a base64 member.

        :raises ProtocolViolation: it is not base64.
        """
        if len(text) % 4 or not _BASE64.match(text):
            raise self._violation(f"'{name}' is not base64")
        # base64.b64decode makes another copy of the text.
        return binascii.a2b_base64(text)

    def _violation(self, reason: str) -> ProtocolViolation:
        return ProtocolViolation(f"{self.endpoint}: {self.command}: {reason}")
