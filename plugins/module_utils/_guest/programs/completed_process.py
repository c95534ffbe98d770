# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a program, however it was run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CompletedProcess:
    """The end of a program.

    :param rc: the exit status; 128 plus the signal's number if a signal ended the program.
    :param stdout: what the program wrote to standard output.
    :param stderr: what the program wrote to standard error.
    """

    rc: int
    stdout: bytes
    stderr: bytes
