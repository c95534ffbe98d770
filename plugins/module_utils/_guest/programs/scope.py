# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A systemd scope for programs, so that they outlive the agent's service.

systemd ends everything in the agent's control group when it restarts the agent, as an upgrade of the agent's package
does. The launch script therefore leaves that group before it runs the program. It joins a scope of an earlier program
that still runs, for example one that stays in the background, which takes one write to a file. If there is none, it has
systemd create one with busctl. That takes as long as an empty task does, most of it in systemd, D-Bus and the journal.

The alternatives are no better: systemd-run takes as long, and cannot be tried without the risk of running the program
twice or not at all; and a control group cannot be kept for later programs, since systemd removes it when its last
process has ended.
"""

from __future__ import annotations

#: A shell script that moves its shell into a scope; a new one is named like the spool ``$s``. Nothing changes if
#: systemd does not run the guest, if the agent is not a service or not root's, or if systemd cannot be asked or
#: refuses: the script then goes on in the agent's control group.
#:
#: Others than systemd may move processes into a control group only if its unit delegates it, so each scope does, but
#: without any controllers. An empty scope removes itself. systemd answers busctl when it has
#: scheduled the move, and carries it out within a few milliseconds. The script waits for that, because a process that
#: it starts earlier would stay behind.
ENTER_SCOPE = """\
in_a(){ while read -r g;do case $g in 0::*.$1|*:name=systemd:*.$1)return;esac;done;false;}
if [ -d /run/systemd/system ]&&[ -O / ]&&in_a service;then
for g in /sys/fs/cgroup/system.slice/netless-qga.*.scope/cgroup.procs;do echo $$ >|"$g"&&break;done||{
d=org.freedesktop.systemd1;n=0
busctl --timeout=10 call $d /org/freedesktop/systemd1 $d.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' \\
"${s##*/}.scope" fail 3 PIDs au 1 $$ DelegateControllers as 0 CollectMode s inactive-or-failed 0 \\
</dev/null >/dev/null 3>&- 4<&-&&
until in_a scope </proc/$$/cgroup||[ $n = 40 ];do n=$((n+1));[ $n -lt 10 ]||sleep 0.1;done
}
fi 2>/dev/null </proc/$$/cgroup"""
