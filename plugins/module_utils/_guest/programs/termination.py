# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a program in the guest is ended, with all processes of its group."""

from __future__ import annotations

#: A shell script that ends the process group ``$1``. It first reads the rest of the leader's standard input: otherwise
#: the agent is left with a full pipe that has no reader. SIGTERM comes before SIGKILL: sudo passes it on to the command
#: that it runs in a new session. Both dash and BusyBox accept this notation of signal and group.
END_GROUP = """\
cat <"/proc/$1/fd/0" >/dev/null 2>&1 &
kill -TERM "-$1" 2>/dev/null
n=20;while [ $n -gt 0 ]&&kill -0 "-$1" 2>/dev/null;do sleep 0.1 2>/dev/null||sleep 1;n=$((n-1));done
kill -KILL "-$1" 2>/dev/null;:"""
