# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Process 1 of a sandbox: builds the guest's root, then starts qemu-ga for each line of its standard input.

:mod:`sandbox` starts this file in namespaces of its own with one JSON argument, a :class:`SandboxConfig`, and writes
``start`` to its standard input. At the end of the input, at the latest when the other side dies, it exits. The kernel
then ends every other process of the sandbox, and removes its mounts with the last of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
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
"""Commands that are never allowed, because the agent shares the machine's kernel."""
CHANNEL_DIRECTORY = "/run/netless-qga"
"""The only directory that the guest shares with the machine. It has the agent's socket."""
_STATE_DIRECTORY = "/run/qemu-ga"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Without these, not even root can freeze a file system, halt, load a module or set the clock of the kernel, which the
# guest shares with the host.
_CAPABILITIES_DROPPED = "-sys_admin,-sys_boot,-sys_module,-sys_rawio,-sys_time,-wake_alarm,-mknod"
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_MACHINE_DIRECTORIES = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "srv", "usr", "var")
_EMPTY_DIRECTORIES = ("dev", "home", "media", "mnt", "proc", "root", "run", "sys", "tmp")


class SandboxConfig(TypedDict):
    """The description of a sandbox."""

    directory: str
    """The sandbox's own directory on the machine, with empty directories ``channel`` and ``mounts``."""
    tree: str | None
    """The root tree to run; None is the machine's own file system. Neither is changed."""
    user_namespace: bool
    """Whether root of the sandbox is an ordinary user of the machine."""
    user: str
    """The user that the agent runs as, a name in the guest's /etc/passwd."""
    blocked: list[str]
    """More commands for the agent to refuse."""
    environment: dict[str, str]
    """The agent's whole environment. A PATH is added if it has none."""


def _mount(*arguments: str | pathlib.Path) -> bool:
    return subprocess.run(["mount", *arguments], check=False).returncode == 0


def _require(done: bool, what: str) -> None:
    if not done:
        sys.exit(f"guest_init.py: this kernel or container does not let the sandbox mount {what}")


def _overlay(lower: pathlib.Path, scratch: pathlib.Path, target: pathlib.Path, user_namespace: bool) -> bool:
    """Mount ``lower`` on ``target`` so that all changes go to ``scratch``, and return whether that worked."""
    upper, work = scratch / f"upper{target.name}", scratch / f"work{target.name}"
    for directory in (upper, work, target):
        directory.mkdir(exist_ok=True)
    upper.chmod(lower.stat().st_mode & 0o7777)
    # Only the machine's root may write the overlay's own kind of extended attribute.
    options = f"lowerdir={lower},upperdir={upper},workdir={work}{',userxattr' if user_namespace else ''}"
    return _mount("-t", "overlay", "overlay", "-o", options, target)


def _build_machine_root(scratch: pathlib.Path, root: pathlib.Path, user_namespace: bool) -> None:
    """Build a root from the machine's own system directories, with empty homes and temporary directories."""
    root.mkdir()
    for name in _EMPTY_DIRECTORIES:
        (root / name).mkdir()
    (root / "root").chmod(0o700)
    for name in _MACHINE_DIRECTORIES:
        lower = pathlib.Path("/", name)
        if lower.is_symlink():
            (root / name).symlink_to(lower.readlink())
        elif lower.is_dir() and not _overlay(lower, scratch, root / name, user_namespace):
            # An ordinary user cannot mount an overlay over a directory that has mounts in it, and cannot change
            # anything there.
            _require(_mount("--rbind", lower, root / name), f"/{name}")


def _mount_kernel_views(root: pathlib.Path) -> None:
    """Mount proc, sys and dev, and the directories for what does not outlive a boot.

    Kernel settings are read-only, because they are the host's too.
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
    # A user who does not own the files of the machine's own /etc keeps them as they are.
    with contextlib.suppress(OSError):
        for name, text in (("hostname", f"{HOSTNAME}\n"), ("hosts", f"127.0.0.1 localhost {HOSTNAME}\n")):
            (root / "etc" / name).unlink(missing_ok=True)
            (root / "etc" / name).write_text(text, encoding="utf-8")


def _bring_loopback_up() -> None:
    # SIOCSIFFLAGS with IFF_UP, see netdevice(7).
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))


def _user_ids(root: pathlib.Path, user: str) -> tuple[int, int]:
    for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines():
        name, dummy, uid, gid = line.split(":")[:4]
        if name == user:
            return int(uid), int(gid)
    sys.exit(f"guest_init.py: the guest has no user {user}")


def _make_private(directory: pathlib.Path, ids: tuple[int, int]) -> None:
    directory.chmod(0o700)
    os.chown(directory, *ids)


def build_root(config: SandboxConfig) -> pathlib.Path:
    """Build the guest's root in this mount namespace, and return its path."""
    directory = pathlib.Path(config["directory"])
    scratch = directory / "mounts"
    _require(_mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", scratch), "tmpfs")
    root = scratch / "root"
    if config["tree"] is None:
        _build_machine_root(scratch, root, config["user_namespace"])
    else:
        _require(_overlay(pathlib.Path(config["tree"]), scratch, root, config["user_namespace"]), "an overlay")
    _mount_kernel_views(root)
    _name_host(root)
    ids = _user_ids(root, config["user"])
    for name in (CHANNEL_DIRECTORY, _STATE_DIRECTORY):
        (root / name.lstrip("/")).mkdir()
    _make_private(root / _STATE_DIRECTORY.lstrip("/"), ids)
    _make_private(directory / "channel", ids)
    _require(_mount("--bind", directory / "channel", root / CHANNEL_DIRECTORY.lstrip("/")), "the channel")
    return root


def agent_command(config: SandboxConfig) -> list[str]:
    """Return the command line that starts the agent in the guest's root, with as few rights as it needs."""
    user = config["user"]
    # Root of a user namespace may not set groups, and has none.
    identity = [] if user == "root" else [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    privileges = ["setpriv", f"--bounding-set={_CAPABILITIES_DROPPED}", *identity]
    channel = ["--method=unix-listen", f"--path={CHANNEL_DIRECTORY}/agent.sock"]
    state = [f"--statedir={_STATE_DIRECTORY}", f"--pidfile={_STATE_DIRECTORY}/qemu-ga.pid"]
    return [*privileges, "qemu-ga", *channel, *state, "-b", ",".join((*ALWAYS_BLOCKED, *config["blocked"]))]


def main(argument: str) -> None:
    """Build the root, move into it, and start an agent for each line of standard input."""
    config: SandboxConfig = json.loads(argument)
    root = build_root(config)
    _bring_loopback_up()
    os.chroot(root)
    os.chdir("/")
    # The umask of services that systemd starts on Debian.
    os.umask(0o077)
    # Orphans become children of process 1. Because it ignores the signal, the kernel reaps them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    command = agent_command(config)
    environment = {"PATH": _SEARCH_PATH, **config["environment"]}
    for dummy in sys.stdin:
        null = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
        os.posix_spawnp(command[0], command, environment, file_actions=[null], setsigdef=[signal.SIGCHLD])


if __name__ == "__main__":
    main(sys.argv[1])
