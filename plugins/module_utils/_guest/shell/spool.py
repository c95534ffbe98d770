# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest directory for temporary files: where it is, and which files one run of a program may leave there.

The spool is the first of a few directories that has room for output; the preferred ones are on a tmpfs. Programs
keep their state and output there, and files are sent there compressed before the guest unpacks them.
"""

from __future__ import annotations

import typing as t

#: The directories that can hold the spool, in the order in which the guest's shell tries them.
BASES = ("/dev/shm", "/run", "/tmp")

#: How much a directory has to hold so that it can be the spool, in bytes: a few pages of memory, and some output.
MIN_ROOM = 32 * 1024


def find_base(path: str, room: int = MIN_ROOM, bases: t.Sequence[str] = BASES) -> str:
    """Return a shell script that sets ``b`` to the first directory that has room, or to nothing if none has.

    It also sets ``b`` to nothing if the file exists: then the same script was started before, and must not run again.
    It changes ``f``.

    Only writing shows whether there is room, so it fills a new file with blanks, and then empties it. The shell around
    it has to run with ``umask 077``. The script ends with ``set -C``: the shell creates files with O_EXCL from then on.

    :param path: the path of that file, quoted for the shell; ``$b`` is the directory.
    :param room: in bytes.
    :param bases: the directories to try.
    """
    return f"""\
set -C
for b in {" ".join(bases)} "";do
[ "$b" ]||break
[ -d "$b" ]&&[ -w "$b" ]||continue
f={path}
{{ printf "" >"$f";}} 2>/dev/null||{{ [ ! -e "$f" ]&&continue;b=;break;}}
{{ printf %{room}s >|"$f";}} 2>/dev/null&&: >|"$f"&&break
rm -f "$f"
done"""


def create_stdin(bases: t.Sequence[str]) -> str:
    """Return a shell script that creates an empty file for the standard input of the run named ``$1``.

    It prints the directory, or an empty line if none has room.

    :param bases: the directories to try.
    """
    return f"""umask 077\n{find_base('"$b/$1.in"', bases=bases)}\necho "$b\""""


def spool_paths(name: str, *, has_stdin: bool, may_prompt: bool) -> list[str]:
    """Return every path that a run may have created, in all directories that can hold the spool.

    :param name: the name of the run's spool.
    :param has_stdin: whether standard input is kept in the spool.
    :param may_prompt: whether the program could prompt for answers.
    """
    kinds = ["room", "state", "out", "err"] + ["in"] * has_stdin + ["say", "ask"] * may_prompt
    return [f"{base}/{name}.{kind}" for base in BASES for kind in kinds]
