# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire cases: what the scripted end does wrong, and what the client may make of it."""

from __future__ import annotations

import base64
import enum
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Union

Step = Union[bytes, float, None]
"""Bytes to send, seconds to wait, or None: the agent restarts, which closes the connection."""

DECOY = "decoy-of-another-client"
"""It is in the output of programs that others have run, and so in no right answer."""

_DECOY_DATA = base64.b64encode(DECOY.encode()).decode()
_BLOCK = 64 * 1024
_FOREVER = 1_000_000


@dataclass(frozen=True)
class Reply:
    """The right reply to a request.

    :param command: the command of the request.
    :param request: the request, decoded.
    :param value: the reply, decoded.
    :param line: the bytes that a right agent sends.
    """

    command: str
    request: Any
    value: dict[str, Any]
    line: bytes


class Program(enum.Enum):
    """What the client is asked to run. Each first counts that it was carried out."""

    ANSWER = "echo answer-$(({number} * 7))"
    MUCH = "head -c 5000000 /dev/zero | tr '\\000' x; echo; echo answer-$(({number} * 7))"
    """5 MB of output: more than libvirt passes on in one reply."""
    KILLED = "kill -9 $$"
    BACKGROUND = "sleep 300 & echo answer-$(({number} * 7))"
    """A process that stays in the background keeps the output open."""


Steps = Callable[[Reply, Callable[[], bool]], Iterable[Step]]
"""Returns what is sent instead of a reply. The second argument returns whether the agent has to behave again."""


def _as_usual(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    return [reply.line]


@dataclass(frozen=True)
class Case:
    """A wire case.

    :param name: a short name.
    :param what: what happens, for the table.
    :param greeting: what waits in the channel for the client.
    :param leftover: what an earlier client left in the agent's parser.
    :param commands: the commands whose replies are spoiled; by default all, but the syncs only if no
        reply is right.
    :param ended_only: whether only the reply that reports the end of the program is spoiled.
    :param steps: what is sent instead of a reply.
    :param times: how many replies are spoiled.
    :param is_late: whether the spoiled replies arrive with the client's next action, and not before.
    :param loses: whether the client gets no whole reply in time, and has to sync again before its next request.
    :param echoes_ids: whether the agent echoes ids.
    :param accepts_ids: whether it accepts requests that have one.
    :param program: what the client runs.
    :param max_output: how much output the agent keeps, if not as much as qemu-ga.
    :param answer_is_due: whether nothing prevents the right answer, so that an error is no success.
    """

    name: str
    what: str
    greeting: bytes = b""
    leftover: bytes = b""
    commands: tuple[str, ...] = ()
    ended_only: bool = False
    steps: Steps = _as_usual
    times: int = 1
    is_late: bool = False
    loses: bool = False
    echoes_ids: bool = True
    accepts_ids: bool = True
    program: Program = Program.ANSWER
    max_output: int | None = None
    answer_is_due: bool = False

    def spoils(self, reply: Reply) -> bool:
        """Return whether a reply is one of those that this case spoils."""
        if self.ended_only:
            value = reply.value.get("return")
            return reply.command == "guest-exec-status" and isinstance(value, dict) and value.get("exited") is True
        if self.commands:
            return reply.command in self.commands
        return self.times == _FOREVER or not reply.command.startswith("guest-sync")


def _always(*steps: Step) -> Steps:
    return lambda reply, is_healed: steps


def _around(before: bytes = b"", after: bytes = b"") -> Steps:
    return lambda reply, is_healed: [before + reply.line + after]


def _each_byte(reply: Reply, is_healed: Callable[[], bool]) -> Iterator[Step]:
    for value in reply.line:
        yield bytes((value,))
        yield 0.002


def _trickle(reply: Reply, is_healed: Callable[[], bool]) -> Iterator[Step]:
    pause = 1.0 / len(reply.line)
    for value in reply.line:
        yield bytes((value,))
        yield pause


def _endless(reply: Reply, is_healed: Callable[[], bool]) -> Iterator[Step]:
    while not is_healed():
        yield b"A" * _BLOCK
    yield b"\n"


def _trickle_endlessly(reply: Reply, is_healed: Callable[[], bool]) -> Iterator[Step]:
    while not is_healed():
        yield b" "
        yield 0.5
    yield reply.line


def _half(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    return [reply.line[: len(reply.line) // 2]]


def _half_then_restart(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    return [reply.line[: len(reply.line) // 2], None]


def _with(**members: Any) -> Steps:
    """Return steps that replace members of the reply, beside its ``return``."""
    return lambda reply, is_healed: [json.dumps({**reply.value, **members}).encode() + b"\n"]


def _returning(value: Any) -> Steps:
    return _with(**{"return": value})


def _without_id(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    value = {name: member for name, member in reply.value.items() if name != "id"}
    return [json.dumps(value).encode() + b"\n"]


def _foreign_first(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    foreign = {**reply.value, "return": _EXITED, "id": "of another client"}
    return [json.dumps(foreign).encode() + b"\n" + reply.line]


def _output_is_no_base64(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    text = json.dumps(reply.value)
    for member in ("out-data", "buf-b64"):
        value = reply.value["return"].get(member)
        if value:
            text = text.replace(json.dumps(value), '"@@@@ no base64 @@@@"')
    return [text.encode() + b"\n"]


def _duplicate_keys(reply: Reply, is_healed: Callable[[], bool]) -> Iterable[Step]:
    value = json.dumps(reply.value["return"])
    tail = f', "id": {json.dumps(reply.value["id"])}' if "id" in reply.value else ""
    return [f'{{"return": {value}, "return": {json.dumps(_EXITED)}{tail}}}\n'.encode()]


_EXITED = {"pid": 1, "exited": True, "exitcode": 0, "out-data": _DECOY_DATA}
_STALE = json.dumps({"return": _EXITED}).encode() + b"\n"
_EXEC, _STATUS = ("guest-exec",), ("guest-exec-status",)
_OUTPUT = ("guest-exec-status", "guest-file-read")
_FOREIGN_ID = secrets.randbelow(2**31) + 2**40
_PARSE_ERROR = b'{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}\n'

CASES = (
    Case("healthy", "Nothing is wrong.", answer_is_due=True),
    # What waits in the channel.
    Case(
        "stale reply",
        "The reply to an earlier client's program waits in the channel.",
        greeting=_STALE * 3,
        answer_is_due=True,
    ),
    Case(
        "half a reply",
        "The second half of a reply waits in the channel.",
        greeting=_STALE[len(_STALE) // 2 :],
        answer_is_due=True,
    ),
    Case(
        "unfinished reply",
        "The first half of a reply, without an end of line, waits in the channel.",
        greeting=_STALE[: len(_STALE) // 2],
        answer_is_due=True,
    ),
    Case(
        "stale integers",
        "Numbers that an earlier client asked for wait in the channel, as the count of a freeze.",
        greeting=b'{"return": 3}\n{"return": 1}\n',
        answer_is_due=True,
    ),
    Case(
        "foreign sync",
        "The reply to another client's sync, with its delimiter and another id, waits in the channel.",
        greeting=b'\xff{"return": %d}\n' % _FOREIGN_ID,
        answer_is_due=True,
    ),
    Case(
        "foreign plain sync",
        "The same without a delimiter.",
        greeting=b'{"return": %d}\n' % _FOREIGN_ID,
        answer_is_due=True,
    ),
    Case(
        "0xFF everywhere",
        "Bytes 0xFF wait in the channel: alone, in a row, and inside and after a reply.",
        greeting=b"\xff\xff\xff\n" + _STALE[:20] + b"\xff" + _STALE[20:] + b"\xff",
        answer_is_due=True,
    ),
    Case("parse error waits", "An error of the agent's parser waits.", greeting=_PARSE_ERROR * 2, answer_is_due=True),
    Case(
        "binary garbage",
        "256 different bytes wait in the channel.",
        greeting=bytes(range(256)) + b"\n",
        answer_is_due=True,
    ),
    Case(
        "partial request",
        "An earlier client left half a request in the agent's parser.",
        leftover=b'{"execute": "guest-exec", "arguments": {"path": "/bin/',
        answer_is_due=True,
    ),
    # How a reply arrives.
    Case("split at every byte", "Each reply arrives byte by byte.", steps=_each_byte, times=12, answer_is_due=True),
    Case("trickling", "One reply takes a second to arrive.", commands=_EXEC, steps=_trickle, answer_is_due=True),
    Case(
        "reply and more in one write",
        "A reply to somebody else follows in the same write.",
        steps=_around(after=_STALE),
        commands=_EXEC,
    ),
    Case(
        "foreign id first",
        "A reply with a foreign id comes directly before the right one.",
        steps=_foreign_first,
        commands=_STATUS,
    ),
    Case("wrong id", "The reply has another id than the request.", steps=_with(id="another"), commands=_EXEC),
    Case("no id", "One reply lacks the id of the request.", steps=_without_id, commands=_EXEC),
    Case("no ids at all", "The agent does not echo ids.", echoes_ids=False, answer_is_due=True),
    Case(
        "ids refused",
        "The agent refuses requests with an id, as before QEMU 4.0.",
        echoes_ids=False,
        accepts_ids=False,
        answer_is_due=True,
    ),
    # What is lost.
    Case("silent agent", "The agent answers nothing.", steps=_always(), times=_FOREVER),
    Case("exec reply lost", "The reply to guest-exec is lost.", commands=_EXEC, steps=_always(), loses=True),
    Case("half exec reply", "Half the reply to guest-exec is lost.", commands=_EXEC, steps=_half, loses=True),
    Case(
        "late exec reply",
        "The reply to guest-exec comes after the client has given up.",
        commands=_EXEC,
        is_late=True,
        loses=True,
    ),
    Case("status lost", "The reply with the program's result is lost.", ended_only=True, steps=_always(), loses=True),
    Case("late status", "That reply comes after the client has given up.", ended_only=True, is_late=True, loses=True),
    Case(
        "restart before exec reply",
        "The agent restarts instead of answering guest-exec.",
        commands=_EXEC,
        steps=_always(None),
    ),
    Case(
        "restart before status",
        "The agent restarts instead of answering guest-exec-status.",
        ended_only=True,
        steps=_always(None),
    ),
    Case(
        "restart inside a reply",
        "The agent restarts in the middle of a reply.",
        commands=_EXEC,
        steps=_half_then_restart,
    ),
    # What is in a reply.
    Case("endless line", "A reply never ends.", commands=_EXEC, steps=_endless),
    Case("endless trickle", "Two blanks arrive each second, and no reply.", commands=_EXEC, steps=_trickle_endlessly),
    Case("no JSON", "A line is not JSON.", commands=_EXEC, steps=_always(b"}{ no JSON at all \x01\x7f\n")),
    Case("list", "A reply is a list.", commands=_EXEC, steps=_always(b"[1, 2, 3]\n")),
    Case("wrong types", "The process id is a text.", commands=_EXEC, steps=_returning({"pid": "one"})),
    Case("no process id", "The process id is missing.", commands=_EXEC, steps=_returning({})),
    Case("return is null", "The result is null.", commands=_STATUS, steps=_returning(None)),
    Case("duplicate keys", "A reply has two results.", ended_only=True, steps=_duplicate_keys),
    Case(
        "deep nesting",
        "A reply is nested 100,000 levels deep.",
        commands=_EXEC,
        steps=_always(b'{"return": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"),
    ),
    Case("output is no base64", "The output is not base64.", commands=_OUTPUT, steps=_output_is_no_base64, times=4),
    # What programs do.
    Case("5 MB of output", "The program prints 5 MB.", program=Program.MUCH, answer_is_due=True),
    Case(
        "output cut by the agent",
        "The agent keeps the first 64 KiB of 5 MB, and reports that (qemu-ga keeps 16 MiB).",
        program=Program.MUCH,
        max_output=64 * 1024,
    ),
    Case("killed program", "A signal ends the program, so that there is no exit status.", program=Program.KILLED),
    Case(
        "process in the background",
        "The program leaves a process that keeps its output open.",
        program=Program.BACKGROUND,
        answer_is_due=True,
    ),
)
"""All cases, in the order of the table."""
