# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking with a program in the guest that asks for something, like a password, before it reads its standard input."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import GuestProcess
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, ProcessError, QgaError

#: Looks at all that a program has written, standard output and error, and returns what to say to it: some bytes,
#: none (``b""``) to let its standard input follow, or None to wait for more. An exception ends the program.
PromptHandler = t.Callable[[bytes, bytes], t.Optional[bytes]]

# For each look at the program and each word to it, in seconds. One that the program's own deadline cut off would end
# as an answer that is lost, and not as a program that took too long.
_ASK_TIMEOUT = 30.0

# How much it may write until it goes on, in bytes: a guest must not fill the memory with questions.
_MAX_WRITTEN = 16 * 1024 * 1024


def answer_prompts(program: GuestProcess, prompt_handler: PromptHandler, deadline: Deadline) -> None:
    """Pass what the program writes to the dialogue, and what that says to the program, until it has no more to say.

    Ends early if the program does, or at the deadline; the program's result tells the rest.
    """
    with contextlib.ExitStack() as stack:
        try:
            # The FIFO is there once the outputs are: opened before, it would be created as a file.
            streams = [_open(program, kind, "r", stack, deadline) for kind in ("out", "err")]
            fifo = _open(program, "say", "w", stack, deadline)
            written = [b"", b""]
            while fifo is not None:
                if deadline.passed:
                    # That ends it, and before the FIFO is closed.
                    program.wait(deadline)
                    return
                until = Deadline.after(_ASK_TIMEOUT)
                for index, stream in enumerate(streams):
                    if stream is not None:
                        written[index] += stream.read(until)[0]
                if sum(map(len, written)) > _MAX_WRITTEN:
                    raise ProcessError(
                        f"{program.agent.endpoint}: more than {_MAX_WRITTEN} bytes were written where a program was "
                        f"to ask for something"
                    )
                words = prompt_handler(*written)
                if words == b"":
                    return
                if words is not None:
                    fifo.write(words, until)
                    fifo.flush(until)
                elif program.poll():
                    return
                program.pause(deadline)
        except BaseException:
            # Before the FIFO is closed, after which the program would take its standard input for words.
            with contextlib.suppress(QgaError):
                program.terminate()
            raise


def _open(
    program: GuestProcess, kind: str, mode: str, stack: contextlib.ExitStack, deadline: Deadline
) -> OpenFile | None:
    """One of the spool's files, as soon as it can be opened; None if the program ends before that."""
    while not deadline.passed:
        until = Deadline.after(_ASK_TIMEOUT)
        if program.find_spool(until):
            try:
                return stack.enter_context(program.files.open(program.spool_path(kind), mode, until))
            except GuestFileError:
                # Not there yet; a FIFO not before somebody reads it.
                pass
        if program.poll():
            return None
        program.pause(deadline)
    return None
