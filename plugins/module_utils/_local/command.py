# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command on the machine where this process runs, which can be ended in time together with all that it started.

AnsibleModule's run_command cannot be used here, since this also runs on a controller without an AnsibleModule.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

# How long a command may take to end after SIGTERM, and after SIGKILL.
_END_TIMEOUT = 2.0
_POLL_INTERVAL = 0.02

#: How many bytes of each of a command's two outputs are returned.
MAX_OUTPUT = 1 << 20


class Command:
    """A command in a process group of its own, with nothing on its standard input.

    Its output goes to files and not to pipes: processes that it leaves behind may keep them open, and nothing waits for
    these processes.

    :param argv: the program and its arguments.
    :param chdir: the directory that it runs in; by default this process's.
    :raises OSError: it cannot be started.
    """

    def __init__(self, argv: t.Sequence[str], *, chdir: str | None = None) -> None:
        with contextlib.ExitStack() as stack:
            self._stdout = stack.enter_context(tempfile.TemporaryFile())
            self._stderr = stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
                argv,
                cwd=chdir,
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=self._stderr,
                start_new_session=True,
            )
            self._stack = stack.pop_all()

    def wait(self, seconds: float) -> bool:
        """Wait until the command ends.

        :param seconds: how long to wait.
        :returns: whether it has ended.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> bool:
        """End the command and its process group, unless the command has ended by itself.

        :returns: whether it has ended. A process that waits for storage that does not answer cannot be ended.
        """
        if self._process.poll() is not None:
            return True
        deadline = Deadline.after(_END_TIMEOUT)
        self._signal(signal.SIGTERM)
        # Until poll() reaps it, a command that has ended still counts as a member of its group.
        while self._process.poll() is None or self._signal(0):
            if deadline.passed:
                self._signal(signal.SIGKILL)
                return self.wait(_END_TIMEOUT)
            deadline.sleep(_POLL_INTERVAL)
        return True

    def result(self) -> dict[str, t.Any]:
        """Return the command's result and release its files. Call it once.

        :returns: ``stdout`` and ``stderr``, each also as lines, and ``rc`` if the command has ended: its exit status,
            or the negative number of the signal that ended it.
        """
        with self._stack:
            stdout, stderr = _text(self._stdout), _text(self._stderr)
        ended = {} if self._process.returncode is None else {"rc": self._process.returncode}
        return {
            **ended,
            "stdout": stdout,
            "stdout_lines": stdout.splitlines(),
            "stderr": stderr,
            "stderr_lines": stderr.splitlines(),
        }

    def _signal(self, number: int) -> bool:
        """Signal the process group, and return whether it still exists."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # A process of the group now runs as another user.
            return True
        return True


def _text(file: t.IO[bytes]) -> str:
    # pread, because the command shares this file's offset.
    return os.pread(file.fileno(), MAX_OUTPUT, 0).decode("utf-8", errors="replace")
