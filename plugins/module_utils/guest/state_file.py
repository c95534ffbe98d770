# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file in which the script that runs a program writes who it is, and how the program ended."""

from __future__ import annotations

import contextlib

from ansible_collections.netless.qga.plugins.module_utils.deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError
from ansible_collections.netless.qga.plugins.module_utils.guest import launcher
from ansible_collections.netless.qga.plugins.module_utils.guest.files import Files, OpenFile

# More than a process id and an end take, in bytes.
_LONGEST = 100


class StateFile:
    """A state file that is held open, so that a look takes one call. The agent logs opening it, and no look.

    :param opened: the file.
    """

    def __init__(self, opened: OpenFile) -> None:
        self._stack = contextlib.ExitStack()
        self._file = self._stack.enter_context(opened)
        self._text = b""

    def tells_end(self, deadline: Deadline) -> bool:
        """Whether the program has ended, as far as the file tells. It does not if the script was killed."""
        self._text += self._file.read(deadline, _LONGEST)[0]
        state = launcher.parse_state(self._text)
        return state is not None and state[1] is not None

    def close(self) -> None:
        """Let go of the file. May be called again."""
        self._stack.close()


def open_state_file(files: Files, spool: str, deadline: Deadline) -> StateFile | None:
    """The state file of a spool, None if it is not there, or not yet."""
    for base in launcher.BASES:
        with contextlib.suppress(GuestFileError):
            return StateFile(files.open(_path(base, spool), "r", deadline))
    return None


def read_state(files: Files, spool: str, deadline: Deadline) -> tuple[str, int, launcher.Ended | None] | None:
    """What the state file of a spool says: where the spool is, the process id, and how the program ended if it has."""
    for base in launcher.BASES:
        try:
            with files.open(_path(base, spool), "r", deadline) as opened:
                text = opened.read(deadline, _LONGEST)[0]
        except GuestFileError:
            continue
        state = launcher.parse_state(text)
        if state is not None:
            return (base, *state)
    return None


def _path(base: str, spool: str) -> str:
    return f"{base}/{spool}.state"
