# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a :class:`~.scripted_agent.ScriptedAgent` can differ from a current agent. Profiles combine, in the order given.

A profile that breaks replies does not break those of the two sync commands, so that a client gets past its handshake.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from .scripted_agent import Delivery, ScriptedAgent, Step

LATE_DELAY = 2.0
HUGE_BYTES = 64 << 20
DEEP_LEVELS = 100_000
_BLOCK = 1 << 16


def _replacing(member: bytes) -> Delivery:
    """Return a delivery that replaces a reply by ``member``, raw bytes of a JSON object. Only the id stays."""

    def deliver(line: bytes) -> Iterable[Step]:
        reply = json.loads(line)
        members = [member, b'"id": ' + json.dumps(reply["id"]).encode()] if "id" in reply else [member]
        return [b"{" + b", ".join(part for part in members if part) + b"}\n"]

    return deliver


def _late(line: bytes) -> Iterable[Step]:
    yield LATE_DELAY
    yield line


def _slow(line: bytes) -> Iterable[Step]:
    for value in line:
        yield bytes((value,))
        # Long enough for a reader to receive the byte alone.
        yield 0.0005


def _huge(line: bytes) -> Iterable[Step]:
    yield b'{"return": "'
    for dummy in range(HUGE_BYTES // _BLOCK):
        yield b"A" * _BLOCK
    yield b'"}\n'


def _with_foreign_id(line: bytes) -> Iterable[Step]:
    return [json.dumps({**json.loads(line), "id": "somebody else's"}).encode() + b"\n"]


DELIVERIES: dict[str, Delivery] = {
    "both": _replacing(b'"return": {}, "error": {"class": "GenericError", "desc": "and an error"}'),
    "cut": lambda line: [line[: len(line) // 2], None],
    "deep": _replacing(b'"return": ' + b"[" * DEEP_LEVELS + b"]" * DEEP_LEVELS),
    "duplicate_keys": _replacing(b'"return": {"pid": 1}, "return": {"pid": 2}'),
    "duplicate_replies": lambda line: [line, line],
    "endless": lambda line: iter(lambda: b"A" * _BLOCK, b""),
    "foreign_ids": _with_foreign_id,
    "garbage": lambda line: [b"}{ no JSON at all \x01\x7f\n"],
    "hangs_up": lambda line: [None],
    "huge": _huge,
    "invalid_utf8": _replacing(b'"return": "\xc3\x28"'),
    "late": _late,
    "nan": _replacing(b'"return": NaN'),
    "neither": _replacing(b""),
    "never": lambda line: [],
    "non_object": lambda line: [b"[1, 2, 3]\n"],
    "nul": _replacing(b'"return":\x00 {}'),
    "random": lambda line: [os.urandom(4096)],
    "slow": _slow,
    "unsolicited_event": lambda line: [b'{"event": "SHUTDOWN", "timestamp": {"seconds": 1}}\n', line],
    "unsolicited_reply": lambda line: [b'{"return": {"pid": 1}}\n{"return": {}, "id": "from before"}\n', line],
    "wrong_types": _replacing(b'"return": {"pid": "1", "exited": 1, "version": 9, "supported_commands": {}}'),
}
"""What the agent sends instead of a reply, by the name of the profile."""


def _breaking(delivery: Delivery) -> Callable[[ScriptedAgent], None]:
    return lambda agent: agent.deliveries.append(delivery)


def _blocked(agent: ScriptedAgent) -> None:
    agent.disabled.update(name for name in agent.handlers if name.startswith(("guest-exec", "guest-file-")))


def _before_4_0(agent: ScriptedAgent) -> None:
    agent.version, agent.ids = "2.12.0", "refused"


def _frozen(agent: ScriptedAgent) -> None:
    agent.version, agent.frozen, agent.frozen_text = "7.2.22", True, "the agent is in frozen state"


def _frozen_9_1(agent: ScriptedAgent) -> None:
    agent.frozen = True


def _ignoring_ids(agent: ScriptedAgent) -> None:
    agent.ids = "ignored"


def _without_delimiter(agent: ScriptedAgent) -> None:
    del agent.handlers["guest-sync-delimited"]


def _silent(agent: ScriptedAgent) -> None:
    agent.silent = True


def _stale(agent: ScriptedAgent) -> None:
    old = b'{"return": {"pid": 1}}\n\xff{"return": 1}\n{"return": {}, "id": "from before"}\n'
    agent.greeting = b'nt": 12}}\n' + old + b'{"return": {"count": 3, "buf-b64": "AA'


PROFILES: dict[str, Callable[[ScriptedAgent], None]] = {
    "blocked": _blocked,
    "frozen": _frozen,
    "frozen_newer_text": _frozen_9_1,
    "ignores_ids": _ignoring_ids,
    "modern": lambda agent: None,
    "no_delimited": _without_delimiter,
    "no_ids": _before_4_0,
    "silence": _silent,
    "stale": _stale,
    **{name: _breaking(delivery) for name, delivery in DELIVERIES.items()},
}
