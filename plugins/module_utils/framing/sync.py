# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sync of a session: which kind to send to an agent of which age, and what ends it."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    DelimitedSyncMissing,
    IdsRefused,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import SENTINEL, Line
from ansible_collections.netless.qga.plugins.module_utils.framing.message import (
    encode,
    is_integer,
    parse,
    refuse_monitor,
    refuses_id,
)

_DELIMITED = b"guest-sync-delimited"


class Sync:
    """The syncs of one session, and what their replies have shown about the agent.

    :param random_id: returns a positive integer of at most 63 bits that a guest cannot guess.
    """

    def __init__(self, random_id: t.Callable[[], int]) -> None:
        #: Whether the agent repeats the id of a request. This is certain once a sync has succeeded.
        self.echoes_ids = False
        self._random_id = random_id
        self._knows_delimited = True
        self._sends_id = True
        # The id that the last sync is to return, and the id of the last request that carried one.
        self._sync_id = 0
        self._id_sent = 0
        self._marks: tuple[bytes, ...] = ()

    def start(self) -> bytes:
        """Return the bytes of the next sync."""
        self.echoes_ids = False
        self._sync_id = self._random_id()
        command = "guest-sync-delimited" if self._knows_delimited else "guest-sync"
        members: dict[str, t.Any] = {"execute": command, "arguments": {"id": self._sync_id}}
        if self._sends_id:
            members["id"] = self._id_sent = self._sync_id
        # QMP is in the greeting of a monitor and in the refusal of an id.
        self._marks = (b"%d" % self._sync_id, b"%d" % self._id_sent, _DELIMITED, b"QMP")
        return SENTINEL + encode(members)

    def forget_refused_ids(self) -> None:
        """Let the next sync carry an id. A newer agent may run now, or the refusal was meant for another client."""
        self._sends_id = True

    def read(self, line: Line, limits: Limits, discarded: int) -> Synced | DelimitedSyncMissing | IdsRefused | None:
        """Return what a line means that came while syncing; None for a leftover.

        :param discarded: how many bytes were discarded before the line.
        :raises ProtocolViolation: it is the greeting of a QEMU monitor.
        """
        content = line.content
        reply = self._parse_if_relevant(line, limits)
        if "id" in reply:
            if not is_integer(reply["id"]) or reply["id"] != self._id_sent:
                return None
            # Only an agent that repeats ids can know this one, even if a sync without an id was sent since.
            self.echoes_ids = self._sends_id = True
            if self._id_sent != self._sync_id:
                return None
        if is_integer(reply.get("return")) and reply["return"] == self._sync_id:
            return Synced(self._sync_id, discarded, line.sentinel, self.echoes_ids)
        if self._knows_delimited and "error" in reply and _DELIMITED in content:
            # An agent that knows the command has no reason to name it. Even if this answers another client, the plain
            # sync that follows is a correct one.
            self._knows_delimited = False
            return DelimitedSyncMissing()
        if self._id_sent == self._sync_id and refuses_id(reply):
            # If this answers another client, the agent still answers the sync with our id, and does so first.
            self._sends_id = False
            return IdsRefused()
        return None

    def _parse_if_relevant(self, line: Line, limits: Limits) -> dict[str, t.Any]:
        """Return the reply in a line that may matter to a sync; an empty one if it does not, or is not a reply."""
        if not any(mark in line.content for mark in self._marks):
            # Most of what is discarded need not be parsed.
            return {}
        try:
            reply = parse(line, limits)
        except ProtocolViolation:
            return {}
        if not isinstance(reply, dict):
            return {}
        refuse_monitor(reply)
        return reply
