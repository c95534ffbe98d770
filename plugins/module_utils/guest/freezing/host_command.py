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

# Seconds that a command has to end by itself when it is told to.
_SECONDS_TO_END = 2.0

#: How much of its output is kept, in bytes each.
LONGEST_OUTPUT = 1 << 20


class HostCommand:
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

    def end(self) -> None:
        """End it and all that it has started and not taken out of its group, unless it has ended."""
        if self._process.poll() is not None:
            return
        self._signal(signal.SIGTERM)
        if not self.wait(_SECONDS_TO_END):
            self._signal(signal.SIGKILL)
            self._process.wait()

    def result(self) -> dict[str, t.Any]:
        """What there is to tell of a command that has ended: the status, negative for a signal, and the output."""
        with self._stack:
            stdout, stderr = _text(self._stdout), _text(self._stderr)
        return {
            "rc": self._process.returncode,
            "stdout": stdout,
            "stdout_lines": stdout.splitlines(),
            "stderr": stderr,
            "stderr_lines": stderr.splitlines(),
        }

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _text(file: t.IO[bytes]) -> str:
    # It has the same offset as the command's.
    return os.pread(file.fileno(), LONGEST_OUTPUT, 0).decode("utf-8", errors="replace")
