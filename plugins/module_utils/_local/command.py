# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command on the host where a module runs, which has to be over in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

# Seconds that a command has to end by itself when it is told to.
_END_TIMEOUT = 2.0
_PAUSE_SECONDS = 0.02

#: How much of its output is kept, in bytes each.
MAX_OUTPUT = 1 << 20


class Command:
    """A command in a process group of its own, with nothing on its standard input.

    Its output goes to files: processes that it leaves behind may hold them, and nobody waits for these.

    :param argv: the program and its arguments.
    :param chdir: the directory it runs in, if not this process's.
    :raises OSError: it cannot be started.
    """

    def __init__(self, argv: t.Sequence[str], *, chdir: str | None = None) -> None:
        with contextlib.ExitStack() as stack:
            self._stdout = stack.enter_context(tempfile.TemporaryFile())
            self._stderr = stack.enter_context(tempfile.TemporaryFile())
            # Not AnsibleModule's run_command, as this runs on the controller without an AnsibleModule too.
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
        """Whether it has ended before that time was over."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> bool:
        """End it and all that it has started and not taken out of its group, unless it has ended.

        :returns: whether it has. One that waits for storage that does not answer cannot be ended.
        """
        if self._process.poll() is not None:
            return True
        deadline = Deadline.after(_END_TIMEOUT)
        self._signal(signal.SIGTERM)
        # As long as nobody has waited for it, one that has ended is a part of its group.
        while self._process.poll() is None or self._signal(0):
            if deadline.passed:
                self._signal(signal.SIGKILL)
                return self.wait(_END_TIMEOUT)
            deadline.sleep(_PAUSE_SECONDS)
        return True

    def result(self) -> dict[str, t.Any]:
        """What there is to tell of a command: the status if it has ended, negative for a signal, and the output."""
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
        """Signal the group; returns whether there still is one."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # One that has become somebody else's.
            return True
        return True


def _text(file: t.IO[bytes]) -> str:
    # It has the same offset as the command's.
    return os.pread(file.fileno(), MAX_OUTPUT, 0).decode("utf-8", errors="replace")
