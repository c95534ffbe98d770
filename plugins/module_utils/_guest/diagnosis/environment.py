# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of what programs find in the guest: a shell, the user, SELinux, Python, and what tasks need."""

from __future__ import annotations

import re
import secrets
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.capabilities import EXEC_COMMANDS
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import (
    OK,
    PROBLEM,
    UNKNOWN,
    WARNING,
    Context,
    Finding,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, MIN_ROOM, find_base
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandUnavailable,
    ProcessTimedOut,
    excerpt,
)

# Where Ansible looks for Python. The last one is the system's own in RHEL 8.
_PYTHONS = (*(f"python3.{minor}" for minor in range(14, 7, -1)), "/usr/bin/python3", "python3")
_PLATFORM_PYTHON = "/usr/libexec/platform-python"
# The oldest versions that ansible-core supports in guests: 2.19, and 2.20 and later.
_MIN_PYTHON = (3, 8)
_MIN_PYTHON_OF_2_20 = (3, 9)

# It leaves nothing behind; $1 is the name of a file that it makes for a moment. Each line of its output is a word and a
# value.
_SCRIPT = f"""\
export PATH="${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}"
exec 2>/dev/null
echo "uid $(id -u)"
echo "user $(id -un)"
if [ -e /sys/fs/selinux/enforce ];then
e=unknown;read -r e </sys/fs/selinux/enforce
c=;read -r c </proc/self/attr/current
echo "enforce $e"
echo "context $c"
[ -w /etc/passwd ]&&echo "writes yes"
fi
umask 077
{find_base('"$b/$1"')}
[ "$b" ]&&rm -f "$b/$1"&&echo "spool $b"
for f in {" ".join(BASES)};do [ "$f" = "$b" ]&&break;[ -w "$f" ]&&echo "full $f";done
for p in gzip setsid;do command -v $p >/dev/null&&echo "$p yes";done
for p in {" ".join((*_PYTHONS, _PLATFORM_PYTHON))};do
command -v $p >/dev/null||continue
v=$($p -ISc 'import sys;print("%d.%d"%sys.version_info[:2])' </dev/null)&&echo "python $v $p"&&break
done
echo "end yes"
"""
_LINE = re.compile(r"(?P<word>[a-z]{1,10}) (?P<value>.{1,200})")

# The domain of qemu-ga in the policy of RHEL, its relatives and Fedora.
_CONFINED = "virt_qemu_ga_t"

_SLOW_SECONDS = 10.0
# How many times the timeout of one check the script may take; Python alone takes a second where there is no KVM.
_TIMEOUT_FACTOR = 3

_PROVIDE_SHELL = (
    "Provide a POSIX shell at /bin/sh in the guest that the agent may start; ausearch -m avc -ts recent in the guest "
    "shows what SELinux denied. Modules of netless.qga that run no program work without it"
)
_MAKE_PERMISSIVE = (
    "For ordinary tasks run semanage permissive -a virt_qemu_ga_t in the guest, or install a policy module there with "
    "what your tasks need. The boolean virt_qemu_ga_run_unconfined does not help, because /bin/sh does not have the "
    "type that it is for. The guide to permissions explains more"
)
_RUN_AS_ROOT = (
    "Tasks run as this user. Use become where it may, or have the service qemu-guest-agent run as root. If "
    "ansible_user is set, it has to be this user"
)
_INSTALL_PYTHON = (
    "Install Python in the guest with ansible.builtin.raw, or set ansible_python_interpreter if it is installed "
    "somewhere else. raw, script, netless.qga.exec and the agent's own commands work without it"
)
_INSTALL_NEWER_PYTHON = (
    "Install a newer Python in the guest and set ansible_python_interpreter: ansible-core 2.19 needs 3.8 or newer in "
    "guests, later versions need 3.9 or newer. raw, script and the modules of netless.qga work without it"
)
_FREE_ROOM = "Remove what fills it, or give it more room; df -h in the guest shows how much it has"
_ALLOW_MORE_TIME = (
    "Give tasks long timeouts, and find out what keeps the guest busy; an emulated processor is this slow"
)


def environment(context: Context) -> t.Iterator[Finding]:
    """Run a script in the guest, if the agent allows it, and report what it finds."""
    if not context.agent.info(context.deadline()).allows(*EXEC_COMMANDS):
        return
    started = time.monotonic()
    timeout = _TIMEOUT_FACTOR * context.timeout
    name = f"netless-qga.{secrets.token_hex(16)}"
    try:
        ended = guest_exec.run_script(context.agent, _SCRIPT, name, deadline=Deadline.after(timeout))
    except CommandUnavailable:
        raise
    except AgentRefused as exc:
        message = f"The agent may run programs, but did not start {guest_exec.SHELL}: {exc}"
        yield Finding("shell", PROBLEM, message, _PROVIDE_SHELL)
        return
    except ProcessTimedOut as exc:
        message = f"{exc}; it is the script of this check, which may take {timeout:g} s"
        yield Finding("shell", PROBLEM, message, f"{_ALLOW_MORE_TIME}, or run this check again with a longer timeout")
        return
    seconds = time.monotonic() - started
    seen = _parse(ended.stdout)
    if "end" not in seen:
        error = excerpt(ended.stderr.decode("utf-8", errors="replace")) or "nothing"
        message = (
            f"{guest_exec.SHELL} in the guest did not run a script to its end; its exit status is {ended.rc}, and its "
            f"standard error is {error}"
        )
        yield Finding("shell", PROBLEM, message, _PROVIDE_SHELL)
        return
    slow = seconds > _SLOW_SECONDS
    message = f"Programs run in the guest; the script of this check took {seconds:.1f} s"
    yield Finding("shell", WARNING if slow else OK, message, _ALLOW_MORE_TIME if slow else "")
    yield from (_user(seen), _selinux(seen), _spool(seen), _python(seen), *_tools(seen))


def _parse(text: bytes) -> dict[str, str]:
    """Return the words and values that the script printed. The guest is not trusted, so each value is cut short."""
    seen: dict[str, str] = {}
    for line in text.decode("utf-8", errors="replace").split("\n"):
        found = _LINE.fullmatch(line.strip("\r\0"))
        if found is not None:
            seen.setdefault(found["word"], excerpt(found["value"]))
    return seen


def _user(seen: t.Mapping[str, str]) -> Finding:
    name = seen.get("user") or seen.get("uid")
    if name is None:
        return Finding("user", UNKNOWN, "It is not known which user the agent runs as, because the guest has no id")
    if seen.get("uid") == "0":
        return Finding("user", OK, f"The agent runs as {name}")
    return Finding("user", WARNING, f"The agent runs as {name}, and not as root", _RUN_AS_ROOT)


def _selinux(seen: t.Mapping[str, str]) -> Finding:
    """Judge by what a program could do: its domain alone may be permissive, and nothing shows that to the program."""
    context, enforce = seen.get("context", "unknown"), seen.get("enforce")
    if enforce is None:
        return Finding("selinux", OK, "The guest has no SELinux")
    if enforce == "0":
        return Finding("selinux", OK, f"SELinux in the guest is permissive; programs run as {context}")
    if _CONFINED not in context.split(":"):
        return Finding("selinux", OK, f"SELinux in the guest is enforcing; programs run as {context}")
    if "writes" in seen:
        message = f"SELinux in the guest is enforcing, but does not confine programs as {context}"
        return Finding("selinux", OK, message)
    message = f"SELinux in the guest confines the agent's programs as {context}: they start, but most tasks fail"
    return Finding("selinux", PROBLEM, message, _MAKE_PERMISSIVE)


def _spool(seen: t.Mapping[str, str]) -> Finding:
    if "spool" in seen:
        message = f"The output of programs is kept in {seen['spool']}"
        if "full" in seen:
            return Finding("spool", WARNING, f"{message}, because {seen['full']} is full", _FREE_ROOM)
        return Finding("spool", OK, message)
    directories = ", ".join(BASES)
    if "full" in seen:
        message = (
            f"None of {directories} has {MIN_ROOM // 1024} KiB of room, and one has to keep the output of programs"
        )
        return Finding("spool", PROBLEM, message, _FREE_ROOM)
    message = f"The agent cannot write to any of {directories}, one of which has to keep the output of programs"
    return Finding("spool", PROBLEM, message, "Let the agent's user write to one of them, preferably to a tmpfs")


def _python(seen: t.Mapping[str, str]) -> Finding:
    number, dummy, path = seen.get("python", "").partition(" ")
    found = re.fullmatch(r"(\d)\.(\d{1,2})", number)
    if found is None:
        return Finding("python", WARNING, "No Python was found in the guest, which most modules need", _INSTALL_PYTHON)
    message = f"{path} in the guest is Python {number}"
    version = (int(found[1]), int(found[2]))
    if version < _MIN_PYTHON:
        return Finding("python", WARNING, f"{message}, which is too old for Ansible's modules", _INSTALL_NEWER_PYTHON)
    if version < _MIN_PYTHON_OF_2_20:
        return Finding(
            "python", WARNING, f"{message}, which is too old for ansible-core from 2.20 on", _INSTALL_NEWER_PYTHON
        )
    return Finding("python", OK, message)


def _tools(seen: t.Mapping[str, str]) -> list[Finding]:
    return [
        Finding(name, OK, f"The guest has {name}")
        if name in seen
        else Finding(name, WARNING, f"The guest has no {name}: {consequence}", f"Install {package} in the guest")
        for name, package, consequence in (
            ("gzip", "gzip", "large files and inputs are sent uncompressed, which is slower"),
            ("setsid", "util-linux", "when a task runs into its timeout, the programs that it started go on"),
        )
    ]
