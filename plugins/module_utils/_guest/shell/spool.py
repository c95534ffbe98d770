# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest directory for temporary files: where it is, and which files one run of a program may leave there.

The spool is the first of a few directories that exists and is writable; the preferred ones are on a tmpfs. Programs
keep their state and output there, and files are sent there compressed before the guest unpacks them.
"""

from __future__ import annotations

#: The directories that can hold the spool, in the order in which the guest's shell tries them.
BASES = ("/dev/shm", "/run", "/tmp")

#: A shell script that sets ``b`` to the first of them that exists and is writable.
FIND_BASE = f'for b in {" ".join(BASES)};do [ -d "$b" ]&&[ -w "$b" ]&&break;done'

#: A shell script that creates an empty file for the standard input of the run named ``$1``, and prints its directory.
SPOOL_STDIN = FIND_BASE + ';umask 077;set -C;: >"$b/$1.in"&&echo "$b"'


def spool_paths(name: str, *, has_stdin: bool, may_prompt: bool) -> list[str]:
    """Return every path that a run may have created, in all directories that can hold the spool.

    :param name: the name of the run's spool.
    :param has_stdin: whether standard input is kept in the spool.
    :param may_prompt: whether the program could prompt for answers.
    """
    kinds = ["state", "out", "err"] + ["in"] * has_stdin + ["say", "ask"] * may_prompt
    return [f"{base}/{name}.{kind}" for base in BASES for kind in kinds]
