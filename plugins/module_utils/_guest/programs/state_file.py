# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file of a program in the guest, from which Ansible learns without guest-exec-status that it has ended.

The agent writes every guest-exec-status into the guest's log, which costs the guest more than the reply does. The
launch script writes into its state file how the program ended, and the agent does not log reads of an open file.
"""

from __future__ import annotations

import contextlib
import time

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, QgaError

# More than a process id and an exit report take, in bytes.
_MAX_SIZE = 100

# When to look for the state file first, in multiples of the agent's reply time: a shell takes 50 to 90 times as long to
# start, in emulated and in native guests. Looking for a file that does not exist takes several calls.
_REPLIES_UNTIL_FILE = 100


class StateFile:
    """The state file of one run, which the agent keeps open, and the decision when to send guest-exec-status.

    That is sent when the program was just started, when the state file has the exit report, and in between after twice
    the time each time, since a script that was killed writes no report.

    :param files: the guest's files.
    :param spool: the name of the run's spool.
    """

    def __init__(self, files: Files, spool: str) -> None:
        self._files = files
        self._spool = spool
        self._started = time.monotonic()
        self._opened: OpenFile | None = None
        self._text = b""
        # Seconds after the start: when to look for the file again, and when to poll the agent again.
        self._open_after = 0.0
        self._poll_after = 0.0
        #: Whether the agent no longer knows the program, so that only the file shows how it ends.
        self.agent_forgot = False

    @property
    def has_exit_report(self) -> bool:
        """Whether the state file had the exit report; the script may still take a moment to exit."""
        state = launch_script.parse_state(self._text)
        return state is not None and state[1] is not None

    def should_poll_agent(self, answered_in: float, deadline: Deadline) -> bool:
        """Read the state file, and decide whether guest-exec-status is due.

        :param answered_in: how many seconds the agent takes for a reply; 0 if that is not known yet.
        :raises Unreachable: and other errors as :meth:`.agent.Agent.call` does. Call :meth:`close` after them.
        """
        elapsed = time.monotonic() - self._started
        first_look = max(self._open_after, _REPLIES_UNTIL_FILE * answered_in)
        if self.has_exit_report or (not self.agent_forgot and (not answered_in or elapsed < first_look)):
            return True
        is_running = self._shows_running(deadline)
        if self._opened is None:
            self._open_after = 2 * elapsed
        if is_running and elapsed < self._poll_after:
            return False
        self._poll_after = 2 * elapsed
        return True

    def close(self) -> None:
        """Close the file and forget its text. The next look reopens it: the last read may be lost with its reply."""
        opened, self._opened, self._text = self._opened, None, b""
        if opened is not None:
            with contextlib.suppress(QgaError):
                opened.close()

    def _shows_running(self, deadline: Deadline) -> bool:
        """Return whether the file could be read and has no exit report."""
        if self._opened is None:
            self._text = b""
            for base in BASES:
                with contextlib.suppress(GuestFileError):
                    self._opened = self._files.open(_path(base, self._spool), "r", deadline)
                    break
        if self._opened is None:
            return False
        try:
            # A hostile guest may write into the file without end.
            self._text = (self._text + self._opened.read(deadline, _MAX_SIZE)[0])[:_MAX_SIZE]
        except GuestFileError:
            # The agent was restarted and has no open files.
            self._opened = None
            return False
        return not self.has_exit_report


def read_state(files: Files, spool: str, deadline: Deadline) -> tuple[str, int, launch_script.ExitReport | None] | None:
    """Read the state file of a run once.

    :returns: the directory of the spool, the script's process id, and the exit report once there is one; None if there
        is no complete state file.
    """
    for base in BASES:
        try:
            with files.open(_path(base, spool), "r", deadline) as opened:
                text = opened.read(deadline, _MAX_SIZE)[0]
        except GuestFileError:
            continue
        state = launch_script.parse_state(text)
        if state is not None:
            return (base, *state)
    return None


def _path(base: str, spool: str) -> str:
    return f"{base}/{spool}.state"
