# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines without a network to try the collection on.

``python3 -m tests.lab up`` starts them and prints the inventory to use, ``python3 -m tests.lab down`` removes every
trace of them, and ``python3 -m tests.lab restart-libvirtd`` restarts libvirtd while they run. Run it as root from the
collection's root.

=========  ==========================================================================================================
bookworm   Debian 12 in the libvirt domain netless-bookworm, agent of QEMU 7.2
trixie     Debian 13 in the libvirt domain netless-trixie, agent of QEMU 10.0
qemu       Debian 13 directly under QEMU, with its agents on a Unix socket and on a local TCP port
fleet      four more guests like bookworm, in the libvirt domains netless-fleet-1 to netless-fleet-4
ssh        one more guest like bookworm, with a network on which only its sshd can be reached, through a local port
=========  ==========================================================================================================

Each guest has more agents: one on a second virtio channel, one on a serial port, and one that may neither run programs
nor handle files, as on RHEL. There are also domains that are off, have no channel or have no agent. In a guest, alice
may use sudo, and bob may use it with his password. The virtual machine of qemu accepts commands on the QMP socket
qemu/qmp.sock in the lab's directory.

The first start builds the guests' disks from Debian packages, which takes a minute or two and some 700 MB in
``${XDG_CACHE_HOME:-~/.cache}/netless-qga``. It then boots the guests, in seconds with KVM and in half a minute without,
and saves their state. All later starts resume from that state. The lab uses KVM where it works. A guest takes 512 MiB
of memory. The lab starts libvirt's daemons where they do not run, and stops them when it is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import NoReturn

from ..guests import trees
from .lab import GUESTS, Lab
from .libvirt_daemons import Libvirt

PROGRAMS = {
    "libvirtd": "libvirt-daemon-system",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh-keygen": "openssh-client",
    "virsh": "libvirt-clients",
}
"""The programs that the lab runs, and the Debian packages that contain them."""
DEFAULT_GUESTS = ("bookworm", "trixie", "qemu")


@contextlib.contextmanager
def _claimed(state: pathlib.Path) -> Iterator[None]:
    """Keep other processes from starting or removing the lab in ``state``."""
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RuntimeError(f"another process is using the lab in {state}") from None
    finally:
        os.close(directory)


def _check_programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({PROGRAMS[program] for program in missing}))
        raise RuntimeError(f"{', '.join(missing)} not found; apt-get install --no-install-recommends {packages}")


def prepare(guests: list[str]) -> None:
    """Build what is kept for later starts, so that these take seconds."""
    _check_programs()
    with tempfile.TemporaryDirectory() as directory:
        state = pathlib.Path(directory, "lab")
        state.mkdir()
        lab = Lab(state)
        try:
            lab.prepare(guests)
        finally:
            lab.remove()


def up(state: pathlib.Path, guests: list[str]) -> None:
    """Start the lab in the background and print how to use it."""
    _check_programs()
    state.mkdir(parents=True, exist_ok=True)
    with _claimed(state):
        if any(state.iterdir()):
            raise RuntimeError(f"there is already a lab in {state}; remove it first: python3 -m tests.lab down")
        lab = Lab(state)
        try:
            inventory = lab.start(guests)
        except BaseException:
            lab.remove()
            raise
    print(f"Try it: ansible -i {inventory} guests -m ansible.builtin.setup")
    print(f"Groups and hosts: ansible-inventory -i {inventory} --graph")
    print("A guest's hosts that end with -channel and -unix share an agent, which serves one of them at a time.")
    print(f"The password of {trees.SUDO_PASSWORD_USER} is {trees.SUDO_PASSWORD_USER_PASSWORD}", flush=True)


def down(state: pathlib.Path) -> None:
    """Remove the lab and everything that belongs to it, except the cache. Do nothing if there is no lab."""
    if state.is_dir():
        with _claimed(state):
            Lab(state).remove()


def restart_libvirtd(state: pathlib.Path) -> None:
    """Restart the lab's libvirtd."""
    if not state.is_dir():
        raise RuntimeError(f"there is no lab in {state}")
    with _claimed(state):
        Libvirt(state).restart()


def _exit_on_signal(number: int, frame: object) -> NoReturn:
    # A second signal must not interrupt the cleanup.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main(arguments: list[str]) -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("up", "down", "prepare", "restart-libvirtd"))
    parser.add_argument("guest", nargs="*", help=f"{', '.join(GUESTS)}; by default {', '.join(DEFAULT_GUESTS)}")
    parser.add_argument(
        "--state",
        type=pathlib.Path,
        default=trees.cache_directory().with_name("lab"),
        help="directory for everything that runs, by default %(default)s",
    )
    options = parser.parse_intermixed_args(arguments)
    if unknown := set(options.guest) - set(GUESTS):
        parser.error(f"unknown guest {', '.join(sorted(unknown))}; there are {', '.join(GUESTS)}")
    if os.geteuid() != 0:
        parser.error("the lab needs root")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    try:
        if options.action == "up":
            up(options.state.absolute(), options.guest or list(DEFAULT_GUESTS))
        elif options.action == "prepare":
            prepare(options.guest or list(DEFAULT_GUESTS))
        elif options.action == "down":
            down(options.state.absolute())
        else:
            restart_libvirtd(options.state.absolute())
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"lab: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
