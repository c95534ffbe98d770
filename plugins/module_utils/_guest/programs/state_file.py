# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking after a program in the guest without asking its agent for it.

The agent writes every guest-exec-status into the guest's log, which costs the guest more than the answer does. The
script that runs the program writes into its state file how that ended, and reading a file that is open is not logged.
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

# More than a process id and an end take, in bytes.
_MAX_SIZE = 100

# When the state file may be expected, in answers of the agent's: a shell takes 50 to 90 times as long to start, in an
# emulated guest and natively alike. To look for a file that is not there takes several calls.
_ANSWERS_UNTIL_FILE = 100


class StateFile:
    """When to ask the agent for a program: at its beginning, when its state file tells the end, and now and then.

    The last is for a script that was killed, and writes nothing. It is asked for at twice the time each time.

    :param spool: the name of the program's spool.
    """

    def __init__(self, files: Files, spool: str) -> None:
        self._files = files
        self._spool = spool
        self._started = time.monotonic()
        self._opened: OpenFile | None = None
        self._text = b""
        self._look_after = 0.0
        self._ask_after = 0.0

    @property
    def has_exit_report(self) -> bool:
        """Whether the state file has told the end; the script may still take a moment to exit."""
        state = launch_script.parse_state(self._text)
        return state is not None and state[1] is not None

    def should_poll_agent(self, answered_in: float, deadline: Deadline) -> bool:
        """Look into the state file, and decide.

        :param answered_in: how many seconds the agent takes for an answer; 0 if that is not known yet.
        :raises Unreachable: and the others as :meth:`.agent.Agent.call` does; have it forget what it knew, then.
        """
        ran = time.monotonic() - self._started
        if self.has_exit_report or not answered_in or ran < max(self._look_after, _ANSWERS_UNTIL_FILE * answered_in):
            return True
        goes_on = self._shows_running(deadline)
        if self._opened is None:
            self._look_after = 2 * ran
        if goes_on and ran < self._ask_after:
            return False
        self._ask_after = 2 * ran
        return True

    def close(self) -> None:
        """Let go of the file. It is opened anew when it is looked into again: what it told last may be lost."""
        opened, self._opened, self._text = self._opened, None, b""
        if opened is not None:
            with contextlib.suppress(QgaError):
                opened.close()

    def _shows_running(self, deadline: Deadline) -> bool:
        if self._opened is None:
            self._text = b""
            for base in BASES:
                with contextlib.suppress(GuestFileError):
                    self._opened = self._files.open(_path(base, self._spool), "r", deadline)
                    break
        if self._opened is None:
            return False
        try:
            # A guest that writes on and on there is not listened to.
            self._text = (self._text + self._opened.read(deadline, _MAX_SIZE)[0])[:_MAX_SIZE]
        except GuestFileError:
            # The agent was restarted, and has no files open.
            self._opened = None
            return False
        return not self.has_exit_report


def read_state(files: Files, spool: str, deadline: Deadline) -> tuple[str, int, launch_script.ExitReport | None] | None:
    """What the state file of a spool says: where the spool is, the process id, and how the program ended if it has."""
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
