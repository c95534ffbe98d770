# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes between the controller and the guest's end of forwards, as the agent writes and reads its files."""

from __future__ import annotations

import contextlib
from collections import deque

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile, write_and_read
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.guest_end import PART_SIZE, GuestEnd
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, QgaError

# The guest creates the next part before it fills the current one, in seconds.
_OPEN_TIMEOUT = 5.0
_OPEN_INTERVAL = 0.05

# How much is read if little is expected, in bytes: the agent clears the memory for it.
_SMALL_READ = 64 * 1024


class GuestLink:
    """The files of one session.

    A pipe holds a number of pages, and each write begins with a new one, so that the pages are what has to be counted:
    if the FIFO was full, the agent would lose a part of a write.

    :param agent: the guest's agent.
    :param files: the guest's files.
    :param end: the program in the guest.
    """

    def __init__(self, agent: Agent, files: Files, end: GuestEnd) -> None:
        self._agent = agent
        self._files = files
        self._end = end
        self._fifo: OpenFile | None = None
        self._part: OpenFile | None = None
        self._number = 0
        self._left = PART_SIZE
        self._expects_much = False
        # One page may be in the middle of being read.
        self._free = end.slots - 1
        # The pings that the guest has not answered, and the pages that each confirms.
        self._unconfirmed: deque[tuple[int, int]] = deque()
        self._pages_without_ping = 0

    def open(self, deadline: Deadline) -> None:
        """Open the files of a new session.

        :raises GuestFileError: the guest's end is not there any more.
        """
        paths = [(f"{self._end.directory}/in", "r+"), (self._part_path(), "r")]
        try:
            self._fifo, self._part = self._files.open_all(paths, deadline)
        except GuestFileError:
            # If there is a FIFO, the guest's end may have an earlier session to end first.
            self._fifo = self._files.open(*paths[0], deadline)
            self._part = self._open_part(deadline)

    def close(self) -> None:
        """Close the files."""
        for opened in (self._fifo, self._part):
            if opened is not None:
                with contextlib.suppress(QgaError):
                    opened.close()
        self._fifo = self._part = None

    @property
    def room(self) -> int:
        """How many bytes can be sent now."""
        # The reverse of what _count does, and never more.
        chunk, page = self._agent.chunk, self._end.page
        return max(0, self._free - 3) * max(1, chunk * page // (chunk + page))

    @property
    def is_nearly_full(self) -> bool:
        """Whether the guest has to confirm even what it would not otherwise."""
        return self._free < self._end.slots // 2

    @property
    def is_confirmed(self) -> bool:
        """Whether the guest has confirmed everything that it has to."""
        return not self._unconfirmed

    def confirm(self, ping: int) -> None:
        """Note that the guest has read everything up to a ping."""
        if all(number != ping for number, dummy in self._unconfirmed):
            return
        while self._unconfirmed:
            number, pages = self._unconfirmed.popleft()
            self._free += pages
            if number == ping:
                return

    def exchange(self, data: bytes, ping: int, deadline: Deadline) -> bytes:
        """Send bytes, and return the next bytes that the guest has sent; nothing if there are none.

        :param data: not more than there is room for.
        :param ping: the number of the ping at the end of the data; 0 if there is none.
        :raises QgaError: the session is lost.
        """
        if self._fifo is None or self._part is None:
            raise GuestFileError(f"{self._agent.endpoint}: the files of the remote forwards are not open")
        if data:
            self._count(len(data), ping)
        size = min(self._agent.reply_chunk if self._expects_much else _SMALL_READ, self._left, self._agent.reply_chunk)
        received = write_and_read(self._agent, self._fifo, data, self._part, size, deadline)
        self._expects_much = bool(received)
        self._left -= len(received)
        if not self._left:
            self._open_next(deadline)
        return received

    def _count(self, size: int, ping: int) -> None:
        # Each write of the agent, and the flush, begins with a new page.
        pages = -(-size // self._end.page) + -(-size // self._agent.chunk) + 1
        self._free -= pages
        self._pages_without_ping += pages
        if ping:
            self._unconfirmed.append((ping, self._pages_without_ping))
            self._pages_without_ping = 0

    def _open_next(self, deadline: Deadline) -> None:
        self._number += 1
        self._left = PART_SIZE
        previous, self._part = self._part, self._open_part(deadline)
        if previous is not None:
            previous.close()

    def _open_part(self, deadline: Deadline) -> OpenFile:
        deadline = deadline.within(_OPEN_TIMEOUT)
        while True:
            try:
                return self._files.open(self._part_path(), "r", deadline)
            except GuestFileError:
                if deadline.passed:
                    raise
            deadline.sleep(_OPEN_INTERVAL)

    def _part_path(self) -> str:
        return f"{self._end.directory}/{self._end.session}.{self._number}"
