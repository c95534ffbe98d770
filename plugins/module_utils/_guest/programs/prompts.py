# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers to a program in the guest that prompts for something, like a password, before it reads its standard input."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import GuestProcess
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, ProcessError, QgaError

#: Takes all that a program has written so far, standard output and standard error, and returns the answer: some bytes;
#: no bytes (``b""``) to let its standard input follow; or None to wait for more output. An exception ends the program.
PromptHandler = t.Callable[[bytes, bytes], t.Optional[bytes]]

# For each read of the output and each answer, in seconds. If the program's own deadline cut one off, the error would be
# a lost reply and not a program that took too long.
_STEP_TIMEOUT = 30.0

# How much the program may write before its standard input follows, in bytes: a guest must not fill the memory.
_MAX_WRITTEN = 16 * 1024 * 1024


def answer_prompts(process: GuestProcess, prompt_handler: PromptHandler, deadline: Deadline) -> None:
    """Pass the program's output to the handler and its answers to the program, until the handler has no more answers.

    Return early if the program ends or the deadline passes; waiting for the program shows which.

    :raises ProcessError: the program wrote too much meanwhile.
    """
    with contextlib.ExitStack() as stack:
        try:
            # The FIFO exists once the output files do. Opened earlier, it would be created as a regular file.
            streams = [_open(process, kind, "r", stack, deadline) for kind in ("out", "err")]
            fifo = _open(process, "say", "w", stack, deadline)
            written = [b"", b""]
            while fifo is not None:
                if deadline.passed:
                    # This ends the program before the FIFO is closed.
                    process.wait(deadline)
                    return
                until = Deadline.after(_STEP_TIMEOUT)
                for index, stream in enumerate(streams):
                    if stream is not None:
                        written[index] += stream.read(until)[0]
                if sum(map(len, written)) > _MAX_WRITTEN:
                    raise ProcessError(
                        f"{process.agent.endpoint}: a program that was to prompt for something wrote more than "
                        f"{_MAX_WRITTEN} bytes"
                    )
                answer = prompt_handler(*written)
                if answer == b"":
                    return
                if answer is not None:
                    fifo.write(answer, until)
                    fifo.flush(until)
                elif process.poll():
                    return
                process.pause(deadline)
        except BaseException:
            # End the program before the FIFO is closed: afterwards it would read its standard input as an answer.
            with contextlib.suppress(QgaError):
                process.terminate()
            raise


def _open(
    process: GuestProcess, kind: str, mode: str, stack: contextlib.ExitStack, deadline: Deadline
) -> OpenFile | None:
    """Open one of the spool's files as soon as possible; return None if the program ends or the deadline passes."""
    while not deadline.passed:
        until = Deadline.after(_STEP_TIMEOUT)
        if process.find_spool(until):
            try:
                return stack.enter_context(process.files.open(process.spool_path(kind), mode, until))
            except GuestFileError:
                # The file does not exist yet, or no process reads the FIFO yet.
                pass
        if process.poll():
            return None
        process.pause(deadline)
    return None
