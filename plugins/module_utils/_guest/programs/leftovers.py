# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks leave in the guest if they cannot clean up: spool files of programs, and programs that still run.

A task removes its files when it ends. It cannot if the agent is out of reach then, or if Ansible was ended with Ctrl-C
or SIGKILL. So the process that keeps the channel open runs a script in the guest when the play has ended, however it
ended. The script

- sends SIGHUP to the play's programs that got no standard input, as the end of a terminal session over ssh does.
  Modules that are sent on standard input go on to their end, as they do over ssh;
- removes the play's files, except those of programs that still run;
- removes the files of other plays that nobody has changed for an hour, except those of programs that still run.
"""

from __future__ import annotations

import contextlib
import secrets

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import LOADER
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import SHELL
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError

#: What the names of all spools begin with.
PREFIX = "netless-qga"

#: The last character of the name of a spool whose program is to be ended if it still runs when the play has ended.
ENDS_WITH_PLAY = "t"

# Minutes.
_MAX_AGE = 60

# What the command line of a launch script contains, and hardly any other.
_MARK = LOADER.partition("while")[0]

#: The script. Its argument is the name of the play. In directories that everybody can write to, it looks at files of
#: the agent's own user only: opening what somebody else has put there could block it. ``$p`` is the process of the
#: launch script that a file belongs to.
REMOVE_LEFTOVERS = f"""\
set -- "$1" {" ".join(BASES)}
m=$1;shift
is_own(){{ [ ! -L "$1" ]&&[ -O "$1" ];}}
is_in_use(){{
s=${{1%.*}}.state p=
[ -f "$s" ]&&is_own "$s"&&read -r p <"$s"
case $p in ""|*[!0-9]*)return 1;;esac
c=;read -r c 2>/dev/null <"/proc/$p/cmdline"
case $c in *"{_MARK}"*)return 0;;esac
return 1;}}
w=
for b;do for f in "$b/{PREFIX}.$m".*{ENDS_WITH_PLAY}.state;do
[ -f "$f" ]&&is_in_use "$f"&&kill -HUP "-$p" 2>/dev/null&&w=y
done;done
[ ! "$w" ]||sleep 1
for b;do shift;for f in "$b/{PREFIX}".*;do
[ -f "$f" ]||[ -p "$f" ]||continue
is_own "$f"&&! is_in_use "$f"||continue
case $f in "$b/{PREFIX}.$m".*);;*)[ "$(find "$f" -prune -mmin +{_MAX_AGE} 2>/dev/null)" ]||continue;;esac
set -- "$@" "$f"
done;done
[ $# = 0 ]||rm -f "$@\""""


def new_prefix(play: str) -> str:
    """Return a beginning for the names of spools that nobody can guess.

    :param play: the name of the play whose programs use them.
    """
    return f"{PREFIX}.{play}.{secrets.token_hex(16)}"


def remove_at_end(agent: Agent, play: str) -> None:
    """Have leftovers removed when the play has ended, if a process on the controller lives until then.

    :param play: its name.
    """
    arguments = {"path": SHELL, "arg": ["-c", REMOVE_LEFTOVERS, "sh", play], "capture-output": True}
    with contextlib.suppress(QgaError):
        agent.at_end(f"leftovers {play}", Call("guest-exec", arguments))
