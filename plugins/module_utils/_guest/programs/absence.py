# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the agent may be out of reach while something runs in the guest."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import FilesystemsFrozen, OutcomeUnknown, Unreachable

# In seconds. While libvirtd restarts or a snapshot is taken, the program goes on, or will go on afterwards.
_AWAY_TIMEOUT = 10.0


class Absence:
    """The absence of the agent, which begins with the first poll that fails and ends with the next that succeeds."""

    def __init__(self) -> None:
        self._deadline: Deadline | None = None

    @contextlib.contextmanager
    def tolerate(self, forget: t.Callable[[], None]) -> t.Iterator[None]:
        """Suppress the errors of an agent that is out of reach, unless it has been for too long.

        :param forget: forgets what was read so far, since the last read may be lost with its reply.
        """
        try:
            yield
        except (FilesystemsFrozen, Unreachable, OutcomeUnknown):
            forget()
            self._deadline = self._deadline or Deadline.after(_AWAY_TIMEOUT)
            if self._deadline.passed:
                raise
        else:
            self._deadline = None
