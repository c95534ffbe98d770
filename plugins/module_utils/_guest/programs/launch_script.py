# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launch script: it runs a program in the guest and leaves the program's exit status and output in the spool.

The guest's shell reads the script from standard input, so that the guest's log shows the same short line for every
program, and neither arguments nor environment. The script uses POSIX features only, and starts as few other programs as
it can, since starting one is the largest cost in a slow guest. Under systemd it moves into a scope of its own before it
runs the program, so that a restart of the agent ends neither of them.

The spool is on a tmpfs. Its files have names that nobody can guess, the shell creates them with O_EXCL and mode 0600,
and each belongs to one run: a program of an earlier run that is still alive writes into its own files.

==========  ==========================================================================================================
``.state``  the process id of the script, which leads the process group, and later the program's exit report
``.out``    standard output
``.err``    standard error
``.in``     standard input, if it is too large for the pipe from the agent
``.say``    for a program that may prompt, like sudo for a password: the FIFO into which the agent writes the answers
``.room``   nothing; it was full of blanks for a moment, which shows whether the spool has room
``.ask``    the FIFO that such a program has as its standard input: the answers first, then the task's standard input
==========  ==========================================================================================================
"""

from __future__ import annotations

import enum
import re
import shlex
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.scope import ENTER_SCOPE
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import MIN_ROOM, find_base

# Reads as many lines as the first line has as its number, and runs them. The rest is left for the program: in POSIX
# `read` consumes no byte after its line.
LOADER = 'IFS= read -r n;c=;while [ "$n" -gt 0 ];do IFS= read -r l;c="$c$l\n";n=$((n-1));done;eval "$c"'

# The agent has the environment of a service: without HOME, or with that of init.
_SET_ENVIRONMENT = """\
case ${HOME:-/} in /)
u=root;[ -O / ]||u=$(id -un)
eval "HOME=~$u";case $HOME in /*);;*)HOME=/;;esac;export HOME
esac
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
cd "$HOME" 2>/dev/null||cd /
unset OLDPWD"""

_CHECK_USER = 'u=$(id -un);[ "$u" = {user} ]||{{ {drain}echo "user $u";exit 0;}}'

# An agent whose pipe to the script is full, and has no reader any more, polls the pipe for ever at full speed. So input
# that may fill the pipe is read to its end before anything else happens, and also if it cannot be saved.
_SAVE = 'i=$s.in;{read} >"$i"||{{ r=$?;cat >/dev/null;exit $r;}}'

# What the script prints if it runs nothing because no directory can hold the spool.
_NO_ROOM = b"no room\n"
_CHECK_ROOM = '[ "$b" ]||{{ {drain}echo "no room";exit 0;}}'

# What the script prints if it runs nothing because standard input is not in the spool as it was written: the guest was
# restarted, or returned to a snapshot, meanwhile.
_NO_STDIN = b"no stdin\n"
_CHECK_STDIN = '[ "$(wc -c <"$i")" -eq {size} ]||{{ echo "no stdin";exit 0;}}'

# How much input the script makes sure of having room for before it saves it, in bytes. Input is larger than that only
# if it is compressed.
_MAX_SAVED_ROOM = 1024 * 1024

# `$!` is the last process of the pipeline. The script kills it when the program ends without an answer.
_FEED = """\
mkfifo "$s.say" "$s.ask"||exit 125
{unpack}cat "$s.say" - {source}>"$s.ask" 3>&- 4<&- &"""

# If the files were removed meanwhile, nobody waits for the program any more, and the script must not make new ones.
#
# The program gets the umask of a login and not the agent's, which is 077 where the agent runs as a daemon.
_RUN = """\
{unpack}(umask 022;exec "$@") {source}>"$s.out" 2>"$s.err" 3>&- 4<&-
r=$?
{after}f=;[ ! -e "$s.room" ]||{{ printf {room} >|"$s.room"&&: >|"$s.room";}} 2>/dev/null||f=F
[ -s "$s.out" ]&&f="${{f}}o";[ -e "$s.out" ]||f="${{f}}O"
[ -s "$s.err" ]&&f="${{f}}e";[ -e "$s.err" ]||f="${{f}}E"
echo "$r $f." >&3
echo "$b $r $f."
exit 0"""

# F means that the spool is full. The letter of an output file is small if the file is not empty, and large if there is
# no such file.
_EXIT_REPORT = re.compile(rb"(?P<base>/[a-z/]+) (?P<rc>\d{1,3}) (?P<flags>F?[oO]?[eE]?)\.\n\Z")
_STATE = re.compile(rb"(?P<pid>\d{1,10})\n(?:(?P<rc>\d{1,3}) (?P<flags>F?[oO]?[eE]?)\.\n)?\Z")
_USER = re.compile(rb"user (?P<user>[^\n]*)\n\Z")


class StdinRoute(enum.Enum):
    """How a program's standard input reaches the guest."""

    #: It follows the script on the pipe from the agent, which holds all of it.
    PIPED = "piped"
    #: It follows the script, which saves it in the spool before anything else.
    SAVED = "saved"
    #: It was written to the spool before the script is started.
    SPOOLED = "spooled"


#: How many bytes the agent can write to a pipe that nobody reads: 16 pages of 4 KiB (pipe(7)), of which one stays free.
#: An agent that has filled the last page closes the pipe only when a page becomes free. If the reader ends before that,
#: the agent polls the pipe for ever at full speed.
PIPE_CAPACITY = 15 * 4096


@dataclass(frozen=True)
class ExitReport:
    """The script's report that the program has ended.

    :param rc: the program's exit status.
    :param streams: the output files in the spool that are not empty: ``out``, ``err``.
    :param missing: the output files that are not in the spool: the program or the guest removed them, or the shell
        could not create them.
    :param spool_full: whether the spool had no room at the end, so that the program could not write all of its output.
    """

    rc: int
    streams: tuple[str, ...]
    missing: tuple[str, ...] = ()
    spool_full: bool = False


def launch_script(
    name: str,
    argv: t.Sequence[str],
    *,
    finished: str | None = None,
    stdin_route: StdinRoute = StdinRoute.PIPED,
    stdin_compressed: bool = False,
    stdin_size: int = 0,
    stdin_base: str = "",
    may_prompt: bool = False,
    user: str | None = None,
) -> bytes:
    """Return the script that runs one program. The program's standard input follows it, unless it is spooled.

    :param name: the name of the run's spool.
    :param argv: the program and its arguments.
    :param finished: the name of an earlier run's spool, whose contents are no longer needed.
    :param stdin_route: how the program's standard input reaches the guest.
    :param stdin_compressed: whether standard input is compressed; the script runs nothing if the guest has no gzip.
    :param stdin_size: the size of standard input in bytes: without compression if it is saved, as it was written if it
        is spooled.
    :param stdin_base: the directory that has standard input if it is spooled.
    :param may_prompt: whether the program may prompt for answers, which it reads before its standard input.
    :param user: the user that the agent has to run as; the script runs nothing if it runs as another one.
    :raises ValueError: an argument contains a NUL, or bytes that are not UTF-8.
    """
    if any("\0" in argument for argument in (*argv, user or "")):
        raise ValueError("it contains a NUL")
    lines = ["umask 077"]
    is_saved = stdin_route is StdinRoute.SAVED
    drain = "cat >/dev/null;" if is_saved else ""
    if user is not None:
        lines.append(_CHECK_USER.format(user=shlex.quote(user), drain=drain))
    if stdin_compressed:
        lines.append(compression.CHECK_GZIP)
    room = MIN_ROOM + (min(stdin_size, _MAX_SAVED_ROOM) if is_saved else 0)
    lines += [find_base(f'"$b/{name}.room"', room), _CHECK_ROOM.format(drain=drain), f"s=$b/{name}"]
    if is_saved:
        lines.append(_SAVE.format(read="gzip -dc" if stdin_compressed else "cat"))
        stdin_compressed = False
    elif stdin_route is StdinRoute.SPOOLED:
        lines.append(f"i={stdin_base}/{name}.in")
    if finished:
        # These files are not read again, and an empty file costs no memory.
        lines.append(f'o=$b/{finished};: >|"$o.out" >|"$o.err";[ ! -e "$o.in" ]||: >|"$o.in"')
    lines.append('exec 3>"$s.state" 4<&0')
    if stdin_route is StdinRoute.SPOOLED:
        # Only now, because a script that was started twice may find that the files of the first one are removed.
        lines.append(_CHECK_STDIN.format(size=stdin_size))
    lines += ["echo $$ >&3", _SET_ENVIRONMENT, ENTER_SCOPE]
    lines.append("set -- " + " ".join(shlex.quote(argument) for argument in argv))
    unpack, source = "", "<&4 " if stdin_route is StdinRoute.PIPED else '<"$i" '
    if stdin_compressed:
        unpack, source = f"gzip -dc {source}3>&- 4<&-|", ""
    if may_prompt:
        lines.append(_FEED.format(unpack=unpack, source=source))
        unpack, source = "", '<"$s.ask" '
    after = "kill $! 2>/dev/null\n" if may_prompt else ""
    lines.append(_RUN.format(unpack=unpack, source=source, after=after, room=f"%{MIN_ROOM}s"))
    script = "\n".join(lines).encode("utf-8") + b"\n"
    return b"%d\n%s" % (script.count(b"\n"), script)


def parse_exit_report(text: bytes) -> tuple[str, ExitReport] | None:
    """Parse what the script printed at its end.

    :returns: the directory of the spool, and the exit report; None if the script printed anything else.
    """
    match = _EXIT_REPORT.match(text)
    return (match["base"].decode("ascii"), _exit_report(match)) if match else None


def parse_state(text: bytes) -> tuple[int, ExitReport | None] | None:
    """Parse the state file.

    :returns: the script's process id, and the exit report once there is one; None if the file is not complete.
    """
    match = _STATE.match(text)
    return (int(match["pid"]), _exit_report(match) if match["rc"] else None) if match else None


def parse_wrong_user(text: bytes) -> str | None:
    """Return the user that the agent runs as, if the script reported that it is the wrong one."""
    match = _USER.match(text)
    return match["user"].decode("utf-8", errors="replace") if match else None


def reports_no_room(text: bytes) -> bool:
    """Return whether the script reported that no directory can hold the spool."""
    return text == _NO_ROOM


def reports_no_stdin(text: bytes) -> bool:
    """Return whether the script reported that standard input is not in the spool."""
    return text == _NO_STDIN


def reports_no_gzip(text: bytes) -> bool:
    """Return whether the script reported that the guest cannot unpack standard input."""
    return text == compression.NO_GZIP.encode("ascii") + b"\n"


def _exit_report(match: re.Match[bytes]) -> ExitReport:
    flags = match["flags"]
    streams = tuple(name for flag, name in ((b"o", "out"), (b"e", "err")) if flag in flags)
    missing = tuple(name for flag, name in ((b"O", "out"), (b"E", "err")) if flag in flags)
    return ExitReport(int(match["rc"]), streams, missing, b"F" in flags)
