# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that starts a warm server: it makes the server's directory, and waits there to remove it.

The script runs as the user that the agent runs as, and the directory belongs to this user. The server runs as the user
of the task, and gets the files in the directory. They have names for a fixed number of jobs, since the server cannot
create any.

A small shell stays as long as the server lives: it reads the server's standard output to its end, and then removes the
FIFO, however the server has ended. The results stay for some more seconds, for a client that has not read them yet,
unless a client removes the directory.
"""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import SHELL
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, find_base

# A directory whose shell is gone was left by a restart of the agent, which ends all that it has started.
_REAP = """\
for o in "$b"/netless-qga.*.warm;do
[ -O "$o" ]&&[ ! -L "$o" ]&&read -r k 2>/dev/null <"$o/keeper"&&! kill -0 "$k" 2>/dev/null&&rm -rf "$o"
done"""

_KEEP = """\
while read -r l;do :;done
cd /
rm -f "$1/jobs"
n=$2;while [ "$n" -gt 0 ]&&[ -d "$1" ];do sleep 1;n=$((n-1));done
rm -rf "$1\""""

# Takes the server's name, the number of its jobs, how long results stay, and the command. The command's other output is
# the script's: a become plugin looks for its success message there. The command must not get the script's descriptors.
_START = f"""\
umask 077
{find_base('"$b/$1.room"')}
[ "$b" ]||exit
rm -f "$b/$1.room"
d=$b/$1 n=$2 t=$3 w="ready $1 "
shift 3
{_REAP}
umask 066
mkdir "$d"&&umask 077&&echo $$ >"$d/keeper"&&mkfifo "$d/jobs"||exit
while [ "$n" -gt 0 ];do : >"$d/$n.state" >"$d/$n.out" >"$d/$n.err";n=$((n-1));done
umask 022
exec 3>&1
"$@" 3>&-|{{
exec 4<&0
while IFS= read -r l;do
case $l in "$w"*)
u=${{l#"$w"}}
case $u in ""|*[!0-9]*)break;;esac
[ "$u" = "$(id -u)" ]||chown "$u" "$d/jobs" "$d"/*.* 2>/dev/null||break
{SHELL} -c {shlex.quote(_KEEP)} sh "$d" "$t" <&4 >/dev/null 2>&1 3>&- 4<&- &
echo $! >|"$d/keeper"
echo "warm $b $u" >&3
exit 0;;
esac
printf '%s\\n' "$l" >&3
done
rm -rf "$d"
exit 1;}}"""

_STARTED = re.compile(rb"warm (?P<base>/[a-z/]+) (?P<uid>\d{1,10})\n")


def start_script(name: str, slots: int, linger: int, argv: t.Sequence[str]) -> list[str]:
    """Return the arguments that start a server.

    :param name: the name of its directory.
    :param slots: how many jobs it can have.
    :param linger: how long its results stay when it has ended, in seconds.
    :param argv: the task's command, which starts a Python that reads its program from standard input.
    """
    return [SHELL, "-c", _START, "sh", name, str(slots), str(linger), *argv]


def parse_started(output: bytes) -> tuple[str, int] | None:
    """Parse what the script printed.

    :returns: the directory that has the server's, and the id of the server's user; None if no server has started.
    """
    match = _STARTED.search(output)
    base = match["base"].decode("ascii") if match else ""
    return (base, int(match["uid"])) if match and base in BASES else None
