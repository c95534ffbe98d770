# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell script that runs a program in the guest, and the spool in which it leaves the result.

It is read from standard input, so that the guest's log shows the same short line for every program, and neither
arguments nor environment. Of the shell it takes what POSIX says, and of other programs as few as it can, since starting
one is what costs most in a slow guest.

The spool is on a tmpfs. Its files have names that nobody can foresee, are created by the shell with O_EXCL and mode
0600, and belong to one run each: a program of an earlier run that is still alive writes into files of its own.

==========  ==========================================================================================
``.state``  the process id of the script, which leads the process group, and later the result
``.out``    standard output
``.err``    standard error
``.in``     standard input, if it is too large to be sent along; compressed if that pays
``.say``    a FIFO for what is said to a program that asks for something, like a password
``.ask``    the FIFO from which such a program reads: first what was said, then its standard input
==========  ==========================================================================================
"""

from __future__ import annotations

import re
import shlex
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import FIND_BASE

# Reads as many lines as the first one says, and runs them. What follows them is left for the program: POSIX has `read`
# take not a byte more than its line.
LOADER = 'IFS= read -r n;c=;while [ "$n" -gt 0 ];do IFS= read -r l;c="$c$l\n";n=$((n-1));done;eval "$c"'

# An agent's environment is that of a service: without HOME, or with init's.
_SET_ENVIRONMENT = """\
case ${HOME:-/} in /)
u=root;[ -O / ]||u=$(id -un)
eval "HOME=~$u";case $HOME in /*);;*)HOME=/;;esac;export HOME
esac
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
cd "$HOME" 2>/dev/null||cd /
unset OLDPWD"""

_CHECK_USER = 'u=$(id -un);[ "$u" = {user} ]||{{ echo "user $u";exit 0;}}'

# The last process of a pipeline is the one that is killed, when the program ends without having been told anything.
_FEED = """\
mkfifo "$s.say" "$s.ask"||exit 125
{unpack}cat "$s.say" - {source}>"$s.ask" 3>&- 4<&- &"""

# The umask is that of a login, not the agent's, which is 077 where it runs as a daemon.
_RUN = """\
{unpack}(umask 022;exec "$@") {source}>"$s.out" 2>"$s.err" 3>&- 4<&-
r=$?
{after}f=;[ -s "$s.out" ]&&f=o;[ -s "$s.err" ]&&f="${{f}}e"
echo "$r $f." >&3
echo "$b $r $f."
exit 0"""

_EXIT_REPORT = re.compile(rb"(?P<base>/[a-z/]+) (?P<rc>\d{1,3}) (?P<streams>o?e?)\.\n\Z")
_STATE = re.compile(rb"(?P<pid>\d{1,10})\n(?:(?P<rc>\d{1,3}) (?P<streams>o?e?)\.\n)?\Z")
_USER = re.compile(rb"user (?P<user>[^\n]*)\n\Z")


@dataclass(frozen=True)
class ExitReport:
    """What the script says when the program has ended.

    :param rc: the program's exit status.
    :param streams: the spool files that are not empty: ``out``, ``err``.
    """

    rc: int
    streams: tuple[str, ...]


def launch_script(
    name: str,
    argv: t.Sequence[str],
    *,
    finished: str | None = None,
    stdin_spooled: bool = False,
    stdin_compressed: bool = False,
    may_prompt: bool = False,
    user: str | None = None,
) -> bytes:
    """The script that runs one program, ready to be followed by the program's standard input.

    :param name: the name of the run's spool.
    :param argv: the program and its arguments.
    :param finished: the name of an earlier run's spool, whose contents are not needed any more.
    :param stdin_spooled: whether standard input is in the spool and not after the script.
    :param stdin_compressed: whether standard input is compressed; nothing is run if the guest cannot unpack it.
    :param may_prompt: whether the program reads what is said to it before its standard input.
    :param user: the user that the agent has to run as; nothing is run if it is another.
    :raises ValueError: an argument holds a NUL, or bytes that are not UTF-8.
    """
    if any("\0" in argument for argument in (*argv, user or "")):
        raise ValueError("it holds a NUL")
    lines = ["umask 077", FIND_BASE, f"s=$b/{name}"]
    if finished:
        # Nobody reads these again, and an empty file costs no memory.
        lines.append(f'o=$b/{finished};: >"$o.out" >"$o.err";[ ! -e "$o.in" ]||: >"$o.in"')
    if stdin_compressed:
        lines.append(compression.CHECK_GZIP)
    if user is not None:
        lines.append(_CHECK_USER.format(user=shlex.quote(user)))
    lines += ["set -C", 'exec 3>"$s.state" 4<&0', "echo $$ >&3", _SET_ENVIRONMENT]
    lines.append("set -- " + " ".join(shlex.quote(argument) for argument in argv))
    unpack, source = "", '<"$s.in" ' if stdin_spooled else "<&4 "
    if stdin_compressed:
        unpack, source = f"gzip -dc {source}3>&- 4<&-|", ""
    if may_prompt:
        lines.append(_FEED.format(unpack=unpack, source=source))
        unpack, source = "", '<"$s.ask" '
    lines.append(_RUN.format(unpack=unpack, source=source, after="kill $! 2>/dev/null\n" if may_prompt else ""))
    script = "\n".join(lines).encode("utf-8") + b"\n"
    return b"%d\n%s" % (script.count(b"\n"), script)


#: Ends a process group: asks first, so that sudo can pass it on to what it runs in a session of its own. Of the ways to
#: write a signal and a group this is the one that dash and BusyBox both take.
END_GROUP = """\
kill -TERM "-$1" 2>/dev/null
n=20;while [ $n -gt 0 ]&&kill -0 "-$1" 2>/dev/null;do sleep 0.1 2>/dev/null||sleep 1;n=$((n-1));done
kill -KILL "-$1" 2>/dev/null;:"""


def parse_exit_report(text: bytes) -> tuple[str, ExitReport] | None:
    """What the script said at its end: where the spool is, and how the program ended. None if it said anything else."""
    match = _EXIT_REPORT.match(text)
    return (match["base"].decode("ascii"), _exit_report(match)) if match else None


def parse_state(text: bytes) -> tuple[int, ExitReport | None] | None:
    """What the state file says: the process id, and how the program ended if it has. None if that is not there yet."""
    match = _STATE.match(text)
    return (int(match["pid"]), _exit_report(match) if match["rc"] else None) if match else None


def parse_wrong_user(text: bytes) -> str | None:
    """The user that the agent runs as, if the script said that it is the wrong one."""
    match = _USER.match(text)
    return match["user"].decode("utf-8", errors="replace") if match else None


def reports_no_gzip(text: bytes) -> bool:
    """Whether the script said that it cannot unpack standard input."""
    return text == compression.NO_GZIP.encode("ascii") + b"\n"


def _exit_report(match: re.Match[bytes]) -> ExitReport:
    streams = tuple(name for flag, name in ((b"o", "out"), (b"e", "err")) if flag in match["streams"])
    return ExitReport(int(match["rc"]), streams)
