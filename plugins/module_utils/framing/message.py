# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single messages of the protocol: requests become lines, lines become checked replies."""

from __future__ import annotations

import secrets
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, ProtocolViolation
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import Line
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import (
    UnacceptableJson,
    decode,
    dumps,
    loads,
)


def random_id() -> int:
    """Return a positive integer of at most 63 bits that a guest cannot guess, for a sync."""
    return secrets.randbelow(2**63 - 1) + 1


def encode(members: t.Mapping[str, t.Any]) -> bytes:
    """Return a request as one line.

    :param members: the request, with the command as ``execute``.
    :raises InvalidRequest: the arguments hold something that the agent cannot take.
    """
    try:
        # LF, so that a terminal in line mode passes it on.
        return dumps(members) + b"\n"
    except UnacceptableJson as exc:
        raise InvalidRequest(f"{members['execute']}: its arguments cannot be sent: {exc}") from exc


def parse(line: Line, limits: Limits) -> t.Any:
    """Return the value that a line holds. The line gives up its content: memory never holds a reply three times.

    :raises ProtocolViolation: it is not JSON, or exceeds a limit.
    """
    content, line.content = line.content, b""
    try:
        text = decode(content, limits)
        del content
        return loads(text, limits)
    except UnacceptableJson as exc:
        raise ProtocolViolation(f"a reply that is unacceptable: {exc}") from exc


def reply_event(number: int, reply: t.Mapping[str, t.Any]) -> Answer | ErrorReply:
    """Return the event of a reply.

    :param number: the number of the request that it answers.
    :raises ProtocolViolation: its error is not one that an agent sends.
    """
    if "return" in reply:
        return Answer(number, reply["return"])
    error = reply["error"]
    if not isinstance(error, dict):
        raise ProtocolViolation("an error that is not an object")
    error_class, desc = error.get("class", "GenericError"), error.get("desc", "")
    if not isinstance(error_class, str) or not isinstance(desc, str):
        raise ProtocolViolation("an error whose class or desc is not a string")
    return ErrorReply(number, error_class, desc)


def refuse_monitor(reply: t.Mapping[str, t.Any]) -> None:
    """Raise an error if a message is the greeting of a QEMU monitor.

    :raises ProtocolViolation: it is.
    """
    if "QMP" in reply:
        raise ProtocolViolation("this is a QEMU monitor (QMP), not a guest agent: give the agent's channel instead")


def refuses_id(reply: t.Mapping[str, t.Any]) -> bool:
    """Whether a reply refuses the id of a request. QEMU before 4.0 does so, and only the text of the error shows it."""
    error = reply.get("error")
    desc = error.get("desc") if isinstance(error, dict) else None
    return "id" not in reply and isinstance(desc, str) and "member 'id' is unexpected" in desc


def is_integer(value: t.Any) -> bool:
    """Whether a value is an integer in JSON. In Python 1 == 1.0 == True; in JSON the three differ."""
    return isinstance(value, int) and not isinstance(value, bool)
