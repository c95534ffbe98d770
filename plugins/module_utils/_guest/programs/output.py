# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program has written, read from its files in the guest within bounds."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, MIN_ROOM
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, GuestFileTooLarge, ProcessError

# How long reading takes at least, in seconds, also after the program's own deadline.
_COLLECT_TIMEOUT = 30.0

# How much of a program's output is read into memory, in bytes: what a guest sends has to be bounded.
_MAX_OUTPUT = 512 * 1024 * 1024


def collecting_deadline(deadline: Deadline) -> Deadline:
    """Return until when to read the output of a program that has ended.

    :param deadline: the program's own deadline.
    """
    return max(deadline, Deadline.after(_COLLECT_TIMEOUT))


def read_output(files: Files, path: str, *, ended: str, deadline: Deadline) -> bytes:
    """Return what a program has written.

    :param path: the file that has it.
    :param ended: the beginning of error messages: how the program has ended.
    :raises FileNotFoundError: there is no such file.
    :raises ProcessError: it is more than is read into memory, or than can be read before the deadline.
    """
    try:
        # What a process in the background appends meanwhile is not the program's, and is left out.
        return b"".join(files.read(path, deadline=deadline, max_size=_MAX_OUTPUT))
    except GuestFileTooLarge as exc:
        raise ProcessError(
            f"{ended}, and wrote more than {_MAX_OUTPUT} bytes, which is more than Ansible reads into memory. Let it "
            f"write to a file, and fetch the file"
        ) from exc
    except GuestFileError as exc:
        if not deadline.passed:
            raise
        raise ProcessError(
            f"{ended}, but its output could not be read in time. Raise exec_timeout, or let it write to a file, and "
            f"fetch the file"
        ) from exc


def spool_full(ended: str, base: str) -> ProcessError:
    """Return the error about a program that may not have been able to write all of its output.

    :param ended: as for :func:`read_output`.
    :param base: the directory that has the output.
    """
    return ProcessError(
        f"{ended}, but its output may be incomplete: {base} in the guest is full. Make room there, or let it write less"
    )


def no_spool(what: str) -> ProcessError:
    """Return the error that no directory in the guest can hold a program's output.

    :param what: what could not be done.
    """
    directories = f"{', '.join(BASES[:-1])} nor {BASES[-1]}"
    return ProcessError(
        f"{what}: neither {directories} in the guest can be written and has {MIN_ROOM // 1024} KiB of room for output"
    )
