# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs as process 1 of a sandbox: lays the guest's root out, then starts qemu-ga each time it is told to.

:mod:`sandbox` starts this file in namespaces of its own with one JSON argument, a :class:`Plan`, and says ``start`` on
its standard input. At the end of the input, which comes at the latest when the other side dies, it exits; with
process 1 the kernel ends every other process of the sandbox, and with the last of them its mounts.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
from typing import TypedDict

HOSTNAME = "netless"
ALWAYS_BLOCKED = (
    "guest-fsfreeze-freeze",
    "guest-fsfreeze-freeze-list",
    "guest-fsfreeze-thaw",
    "guest-fstrim",
    "guest-set-memory-blocks",
    "guest-set-time",
    "guest-set-user-password",
    "guest-set-vcpus",
    "guest-shutdown",
    "guest-ssh-add-authorized-keys",
    "guest-ssh-get-authorized-keys",
    "guest-ssh-remove-authorized-keys",
    "guest-suspend-disk",
    "guest-suspend-hybrid",
    "guest-suspend-ram",
)
"""What no agent that shares the machine's kernel may be asked for."""
CHANNEL_DIRECTORY = "/run/netless-qga"
"""The one directory the guest shares with the outside; the agent's socket is in it."""
_STATE_DIRECTORY = "/run/qemu-ga"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Without them not even root can freeze a file system, halt, load a module or set the clock of the kernel that is shared
# with the host.
_CAPABILITIES_DROPPED = "-sys_admin,-sys_boot,-sys_module,-sys_rawio,-sys_time,-wake_alarm,-mknod"
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_MACHINE_DIRECTORIES = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "srv", "usr", "var")
_EMPTY_DIRECTORIES = ("dev", "home", "media", "mnt", "proc", "root", "run", "sys", "tmp")


class Plan(TypedDict):
    """How a sandbox is to be."""

    directory: str
    """The sandbox's own directory outside, with empty directories ``channel`` and ``mounts``."""
    tree: str | None
    """The root tree to run, left unchanged; None is the machine's own file system, left unchanged too."""
    user_namespace: bool
    """Whether root of the sandbox is an ordinary user outside."""
    user: str
    """Whom the agent runs as, by a name in the guest's /etc/passwd."""
    blocked: list[str]
    """Commands the agent has to refuse as well."""
    environment: dict[str, str]
    """The agent's whole environment, but for a PATH if it has none."""


def _mount(*arguments: str | pathlib.Path) -> bool:
    return subprocess.run(["mount", *arguments], check=False).returncode == 0


def _require(done: bool, what: str) -> None:
    if not done:
        sys.exit(f"guest_init.py: this kernel or container does not let the sandbox mount {what}")


def _overlay(lower: pathlib.Path, scratch: pathlib.Path, target: pathlib.Path, user_namespace: bool) -> bool:
    """Shows ``lower`` at ``target`` with all changes going to ``scratch``; tells whether that worked."""
    upper, work = scratch / f"upper{target.name}", scratch / f"work{target.name}"
    for directory in (upper, work, target):
        directory.mkdir(exist_ok=True)
    upper.chmod(lower.stat().st_mode & 0o7777)
    # Only root outside may write the overlay's own kind of extended attribute.
    options = f"lowerdir={lower},upperdir={upper},workdir={work}{',userxattr' if user_namespace else ''}"
    return _mount("-t", "overlay", "overlay", "-o", options, target)


def _lay_out_machine(scratch: pathlib.Path, root: pathlib.Path, user_namespace: bool) -> None:
    """Builds a root out of the machine's own system directories, with homes and temporary files that are empty."""
    root.mkdir()
    for name in _EMPTY_DIRECTORIES:
        (root / name).mkdir()
    (root / "root").chmod(0o700)
    for name in _MACHINE_DIRECTORIES:
        lower = pathlib.Path("/", name)
        if lower.is_symlink():
            (root / name).symlink_to(lower.readlink())
        elif lower.is_dir() and not _overlay(lower, scratch, root / name, user_namespace):
            # An ordinary user cannot put an overlay over a directory with mounts below it. Nor could he change anything
            # there.
            _require(_mount("--rbind", lower, root / name), f"/{name}")


def _lay_out_kernel_views(root: pathlib.Path) -> None:
    """Mounts proc, sys and dev, and the directories for what does not outlive a boot.

    Kernel settings are the host's too, hence read-only.
    """
    _require(_mount("-t", "proc", "proc", root / "proc"), "proc")
    for name in ("sys", "sysrq-trigger"):
        _mount("--bind", root / "proc" / name, root / "proc" / name)
        _mount("-o", "remount,bind,ro", root / "proc" / name)
    _require(_mount("-t", "sysfs", "-o", "ro", "sysfs", root / "sys"), "sysfs")
    _require(_mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", root / "dev"), "tmpfs")
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _require(_mount("--bind", f"/dev/{name}", root / "dev" / name), f"/dev/{name}")
    for name in ("pts", "shm"):
        (root / "dev" / name).mkdir()
    _require(_mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", root / "dev/pts"), "devpts")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{target}")
    for name, mode in (("dev/shm", "1777"), ("tmp", "1777"), ("run", "0755")):
        _require(_mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", root / name), "tmpfs")


def _name_host(root: pathlib.Path) -> None:
    socket.sethostname(HOSTNAME)
    # Whoever runs a sandbox need not own the files of the machine's own /etc, and then keeps them.
    with contextlib.suppress(OSError):
        for name, text in (("hostname", f"{HOSTNAME}\n"), ("hosts", f"127.0.0.1 localhost {HOSTNAME}\n")):
            (root / "etc" / name).unlink(missing_ok=True)
            (root / "etc" / name).write_text(text, encoding="utf-8")


def _ids_of(root: pathlib.Path, user: str) -> tuple[int, int]:
    for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines():
        name, dummy, uid, gid = line.split(":")[:4]
        if name == user:
            return int(uid), int(gid)
    sys.exit(f"guest_init.py: the guest has no user {user}")


def _give(directory: pathlib.Path, ids: tuple[int, int]) -> None:
    directory.chmod(0o700)
    os.chown(directory, *ids)


def lay_out(plan: Plan) -> pathlib.Path:
    """Builds the guest's root in this mount namespace and returns where it is."""
    directory = pathlib.Path(plan["directory"])
    scratch = directory / "mounts"
    _require(_mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", scratch), "tmpfs")
    root = scratch / "root"
    if plan["tree"] is None:
        _lay_out_machine(scratch, root, plan["user_namespace"])
    else:
        _require(_overlay(pathlib.Path(plan["tree"]), scratch, root, plan["user_namespace"]), "an overlay")
    _lay_out_kernel_views(root)
    _name_host(root)
    ids = _ids_of(root, plan["user"])
    for name in (CHANNEL_DIRECTORY, _STATE_DIRECTORY):
        (root / name.lstrip("/")).mkdir()
    _give(root / _STATE_DIRECTORY.lstrip("/"), ids)
    _give(directory / "channel", ids)
    _require(_mount("--bind", directory / "channel", root / CHANNEL_DIRECTORY.lstrip("/")), "the channel")
    return root


def agent_command(plan: Plan) -> list[str]:
    """The command line that starts the agent inside the guest's root, with as few rights as a harmless one needs."""
    user = plan["user"]
    # Root of a user namespace may not set groups, and is in none to begin with.
    identity = [] if user == "root" else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    privileges = ["setpriv", f"--bounding-set={_CAPABILITIES_DROPPED}", *identity]
    channel = ["--method=unix-listen", f"--path={CHANNEL_DIRECTORY}/agent.sock"]
    state = [f"--statedir={_STATE_DIRECTORY}", f"--pidfile={_STATE_DIRECTORY}/qemu-ga.pid"]
    return [*privileges, "qemu-ga", *channel, *state, "-b", ",".join((*ALWAYS_BLOCKED, *plan["blocked"]))]


def main(argument: str) -> None:
    """Lays the root out, moves into it, and serves the standard input until its end."""
    plan: Plan = json.loads(argument)
    root = lay_out(plan)
    os.chroot(root)
    os.chdir("/")
    # As systemd starts services on Debian.
    os.umask(0o077)
    # Orphans end up as children of process 1; ignoring the signal has the kernel bury them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    command = agent_command(plan)
    environment = {"PATH": _SEARCH_PATH, **plan["environment"]}
    for dummy in sys.stdin:
        null = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
        os.posix_spawnp(command[0], command, environment, file_actions=[null], setsigdef=[signal.SIGCHLD])


if __name__ == "__main__":
    main(sys.argv[1])
