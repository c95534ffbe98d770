# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root trees of Debian suites, to run their guest agents in. ``python3 trees.py SUITE…`` builds them and prints paths.

A tree is a Debian without kernel and init system, with qemu-guest-agent and what Ansible's modules need. To build one
takes root and mmdebstrap. It is kept in ``${XDG_CACHE_HOME:-~/.cache}/netless-qga/trees``, under a name that changes
with the recipe.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

SUITES = ("bullseye", "bookworm", "trixie", "forky")

SUDO_USER = "alice"
"""A user who may use sudo without a password."""
SUDO_PASSWORD_USER = "bob"
"""A user who may use sudo with his password, :data:`SUDO_PASSWORD_USER_PASSWORD`."""
SUDO_PASSWORD_USER_PASSWORD = "bobs-own-password"
ROOT_PASSWORD = "roots-own-password"

_PACKAGES = ("acl", "iproute2", "procps", "python3", "qemu-guest-agent", "sudo")
ACCOUNTS = f"""for name in {SUDO_USER} {SUDO_PASSWORD_USER}; do
    chroot "$1" useradd --create-home --shell /bin/bash "$name"
done
chroot "$1" chpasswd <<PASSWORDS
root:{ROOT_PASSWORD}
{SUDO_PASSWORD_USER}:{SUDO_PASSWORD_USER_PASSWORD}
PASSWORDS
cat >"$1/etc/sudoers.d/netless" <<SUDOERS
{SUDO_USER} ALL=(ALL:ALL) NOPASSWD: ALL
{SUDO_PASSWORD_USER} ALL=(ALL:ALL) ALL
SUDOERS
chmod 0440 "$1/etc/sudoers.d/netless"
"""
"""Part of a script for mmdebstrap, which creates these users in the tree ``$1``."""

_CUSTOMIZE = f"""
set -eu
{ACCOUNTS}"""
_OPTIONS = (
    "--mode=root",
    "--variant=minbase",
    f"--include={','.join(_PACKAGES)}",
    # On a mirror that is a snapshot, the index of a suite that is not released yet may have expired.
    '--aptopt=Acquire::Check-Valid-Until "false"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    # These files include QEMU's description of the agent's commands.
    "--dpkgopt=path-include=/usr/share/doc/qemu-guest-agent/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    f"--customize-hook={_CUSTOMIZE}",
)
_MAX_BUILDERS = 2
"""How many trees are built at the same time: each keeps about one processor busy."""


@contextlib.contextmanager
def report_step(suite: str, step: str, usual: str) -> Iterator[None]:
    """Print on standard error what begins, and afterwards how long it took.

    :param suite: what it is done for.
    :param step: what is done, as a sentence without a full stop.
    :param usual: how long it usually takes.
    """
    print(f"{suite}: {step} (usually takes {usual})", file=sys.stderr, flush=True)
    started = time.monotonic()
    yield
    print(f"{suite}: Done after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def cache_directory() -> pathlib.Path:
    """Return the directory for the trees, which may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base, "netless-qga", "trees")


def tree_path(suite: str, packages: Sequence[str] = ()) -> pathlib.Path:
    """Return the path of the tree of ``suite``, which exists once :func:`build` has made it.

    :param packages: what the tree has in addition to the usual packages.
    """
    recipe = hashlib.sha256("\0".join((suite, *_options(packages))).encode()).hexdigest()
    return cache_directory() / f"{suite}-{recipe[:12]}"


def _options(packages: Sequence[str]) -> tuple[str, ...]:
    return (*_OPTIONS, f"--include={','.join(packages)}") if packages else _OPTIONS


def debian_mirror() -> str | None:
    """Return the mirror from which this machine's own apt takes Debian.

    :returns: its URI, or None on a machine that does not use Debian's archive; mmdebstrap then uses its default.
    """
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"], check=True, capture_output=True, text=True
    ).stdout
    for line in targets.splitlines():
        uri, dummy, release = line.partition(" ")
        if uri.rstrip("/").endswith("/debian") and release.partition("-")[0] in (*SUITES, "stable", "testing", "sid"):
            return uri
    return None


def build(suite: str, packages: Sequence[str] = ()) -> pathlib.Path:
    """Build the tree of ``suite`` unless it exists, and return its path.

    Other processes may call this at the same time.

    :param packages: what the tree has in addition to the usual packages.
    :raises PermissionError: the tree has to be built, which only root can.
    :raises RuntimeError: mmdebstrap failed; the message ends with its output.
    """
    tree = tree_path(suite, packages)
    if tree.is_dir():
        return tree
    if os.geteuid() != 0:
        raise PermissionError(f"only root can build the root tree of {suite}")
    tree.parent.mkdir(parents=True, exist_ok=True)
    with open(tree.with_name(tree.name + ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            with report_step(suite, "Install Debian and the guest agent in a new root tree", "a minute"):
                _build_locked(suite, packages, tree, lock.fileno())
    return tree


def _build_locked(suite: str, packages: Sequence[str], tree: pathlib.Path, lock: int) -> None:
    partial = tree.with_name(tree.name + ".partial")
    _remove(partial)
    mirror = debian_mirror()
    # mmdebstrap mounts parts of the machine in the tree, and leaves them mounted if it is killed. In namespaces of its
    # own the mounts disappear with mmdebstrap, which ends with this process and holds the lock until then.
    isolated = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    command = [*isolated, "mmdebstrap", *_options(packages), suite, str(partial), *([mirror] if mirror else [])]
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        pass_fds=[lock],
    )
    if result.returncode != 0:
        _remove(partial)
        raise RuntimeError(f"mmdebstrap could not build {suite}:\n" + "\n".join(result.stdout.splitlines()[-20:]))
    partial.rename(tree)


def _remove(partial: pathlib.Path) -> None:
    # Never follows a mount into the machine's own files.
    subprocess.run(["rm", "-rf", "--one-file-system", str(partial)], check=True)


def main(arguments: list[str]) -> int:
    """Build the named suites, and print one path a line, in the order of the arguments."""
    parser = argparse.ArgumentParser(
        description="Build root trees of Debian suites with qemu-guest-agent and print their paths."
    )
    parser.add_argument("suite", nargs="+", choices=SUITES)
    with ThreadPoolExecutor(_MAX_BUILDERS) as pool:
        try:
            for tree in pool.map(build, parser.parse_args(arguments).suite):
                print(tree, flush=True)
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            pool.shutdown(cancel_futures=True)
            print(f"trees.py: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
