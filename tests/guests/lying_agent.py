# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An agent that answers every command, and lies in one member of its replies to one command."""

from __future__ import annotations

import base64
import copy
import functools
import random
from collections.abc import Iterator
from typing import Any

from .scripted_agent import NO_REPLY, ErrorReply, ScriptedAgent

Path = tuple[Any, ...]
"""The keys and indexes that lead to a value in a reply."""
Lie = tuple[str, Path, Any]
"""A command, a path in its reply, and what is there instead of the truth."""

REMOVED = object()
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\n\u202e\x9b31m"
TEMPLATE = "{{ lookup('ansible.builtin.pipe', 'touch owned') }}"
PROTOCOL_TEXTS = (
    b"/dev/shm 0 OE.\n",
    b"/dev/shm 256 Foe.\n",
    b"4711\n0 oe.\n",
    b"1\n",
    b"user \x1b[31m\n",
    b"no room\n",
    b"no gzip\n",
    b"warm /tmp 0\n",
    b"claimed 65536 0\npid 2\nexit 0 99999999 5\n",
)
"""What our own scripts in the guest print or write, where it does not belong."""
LIES: tuple[Any, ...] = (
    REMOVED,
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    1.5,
    1e308,
    "",
    "=",
    ESCAPES,
    TEMPLATE,
    "../" * 20 + "etc/owned",
    "A" * 100_000,
    [],
    [None],
    {},
    {"": {}},
    [[[[[[]]]]]],
    *(base64.b64encode(text).decode("ascii") for text in PROTOCOL_TEXTS),
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnZu+iiZ+88PQUGPAc2+4ve2O1bvWpDU3C+o/uLGDBm"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIo6s6iE0QDrFqZMlHIBo/lOlwh6FFAGgAIAl1gn1dPR"
TEXT = base64.b64encode(b"text\n").decode("ascii")
HONEST: dict[str, Any] = {
    "guest-exec": {"pid": 4711},
    "guest-exec-status": {"exited": True, "exitcode": 0, "out-data": base64.b64encode(b"/dev/shm 0 o.\n").decode()},
    "guest-file-close": {},
    "guest-file-flush": {},
    "guest-file-open": 1000,
    "guest-file-read": {"count": 5, "buf-b64": TEXT, "eof": True},
    "guest-file-seek": {"position": 5, "eof": False},
    "guest-fstrim": {"paths": [{"path": "/", "trimmed": 5, "minimum": 0}]},
    "guest-set-time": {},
    "guest-set-user-password": {},
    "guest-set-vcpus": 1,
    "guest-ssh-add-authorized-keys": {},
    "guest-ssh-get-authorized-keys": {"keys": [OTHER_KEY]},
    "guest-ssh-remove-authorized-keys": {},
}


class LyingAgent(ScriptedAgent):
    """See the module.

    :param replies: honest replies to more commands.
    """

    def __init__(self, replies: dict[str, Any]) -> None:
        super().__init__()
        for command, value in {**HONEST, **replies}.items():
            self.handlers[command] = functools.partial(_honest, value)
        self.handlers["guest-file-write"] = lambda arguments: {
            "count": len(base64.b64decode(arguments["buf-b64"])),
            "eof": False,
        }
        self.lie: Lie | None = None
        """The lie in its replies."""
        self.answered: dict[str, Any] = {}
        """The honest value of the last reply to each command."""

    def _execute(self, request: Any) -> Any:
        command = request.get("execute") if isinstance(request, dict) else None
        value = super()._execute(request)
        if command is None or command.startswith("guest-sync") or value is NO_REPLY:
            return value
        self.answered[command] = copy.deepcopy(value)
        if self.lie is not None and self.lie[0] == command:
            return replaced(value, self.lie[1], self.lie[2])
        return value


def _honest(value: Any, dummy: Any) -> Any:
    return copy.deepcopy(value)


def replaced(value: Any, path: Path, lie: Any) -> Any:
    """Return a value in which one member is another one, or is removed."""
    if not path:
        if lie is REMOVED:
            raise ErrorReply(ESCAPES + TEMPLATE)
        return lie
    value = copy.deepcopy(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    if lie is REMOVED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = lie
    return value


def paths_of(value: Any) -> Iterator[Path]:
    """Yield the path of a value and of those in it, of the first one in a list."""
    yield ()
    if isinstance(value, dict):
        for key, member in value.items():
            yield from ((key, *path) for path in paths_of(member))
    elif isinstance(value, list) and value:
        yield from ((0, *path) for path in paths_of(value[0]))


def lies_about(answered: dict[str, Any], seed: str) -> list[Lie]:
    """Return a selection of all lies, the same one each time."""
    lies = [
        (command, path, lie) for command, value in sorted(answered.items()) for path in paths_of(value) for lie in LIES
    ]
    return random.Random(seed).sample(lies, min(len(lies), 250))
