# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest whose filesystems can be frozen, for the tests of fsfreeze and fsfreeze_info."""

from __future__ import annotations

import socket

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

_CHANGING = {"guest-fsfreeze-freeze", "guest-fsfreeze-freeze-list", "guest-fsfreeze-thaw"}


class FreezableGuest(ScriptedAgent):
    """A guest with three filesystems.

    :param profiles: of :class:`ScriptedAgent`.
    """

    def __init__(self, *profiles: str) -> None:
        super().__init__()
        self.handlers["guest-fsfreeze-freeze"] = lambda arguments: self.freeze(3)
        self.handlers["guest-fsfreeze-freeze-list"] = lambda arguments: self.freeze(
            len({"/", "/srv", "/var"} & set(arguments["mountpoints"]))
        )
        self.handlers["guest-fsfreeze-thaw"] = lambda arguments: self.thaw()
        self.count = 0
        other = ScriptedAgent(*profiles)
        self.deliveries, self.frozen, self.silent, self.ids = other.deliveries, other.frozen, other.silent, other.ids
        self.gone = False
        """Whether the agent cannot be reached: it closes each connection at once."""
        self.deliveries.append(lambda line: [None] if self.gone else [line])

    def serve(self, connection: socket.socket) -> None:
        if not self.gone:
            super().serve(connection)

    def lose_answers_to(self, command: str) -> None:
        """Close the connection instead of answering this command."""
        self.deliveries.append(lambda line: [None] if self.requests[-1]["execute"] == command else [line])

    def freeze(self, count: int) -> int:
        self.count, self.frozen = count, count > 0
        return count

    def thaw(self) -> int:
        count = self.count if self.frozen else 0
        self.frozen = False
        return count

    def changing_commands(self) -> list[str]:
        """Return the commands that freeze or thaw, in the order in which the agent got them."""
        commands = [request["execute"] for request in self.requests if isinstance(request, dict)]
        return [command for command in commands if command in _CHANGING]
