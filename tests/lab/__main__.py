# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines without a network to try the collection on: ``python3 -m tests.lab up`` starts them and prints the
inventory to use, ``python3 -m tests.lab down`` removes every trace of them. Run it as root from the collection's root.

=========  ==========================================================================================================
bookworm   Debian 12 in the libvirt domain netless-bookworm, agent of QEMU 7.2
trixie     Debian 13 in the libvirt domain netless-trixie, agent of QEMU 10.0
qemu       Debian 13 straight under QEMU, with its agents on a Unix socket and on a local TCP port
=========  ==========================================================================================================

Each guest has more agents: one on a second virtio channel, one on a serial port, and one that may neither run programs
nor handle files, as on RHEL. Domains that are off, have no channel or no agent are there to see what that looks like.
In a guest alice may use sudo, and bob with his password.

The first start makes the guests' disks out of Debian packages, which takes a minute or two and some 600 MB in
``${XDG_CACHE_HOME:-~/.cache}/netless-qga/images``. KVM is used where it works. A guest takes 512 MiB of memory, and
boots in seconds with KVM and in half a minute without. libvirt's daemons are started where nobody runs them, and
ended with the lab.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

from ..guests import trees
from . import agents, domains, images
from .acceleration import accelerator
from .inventory import Inventory
from .libvirt_daemons import Libvirt
from .machine import Machine
from .qemu import Qemu

PROGRAMS = {
    "libvirtd": "libvirt-daemon-system",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "socat": "socat",
    "virsh": "libvirt-clients",
}
"""What the lab runs, and the Debian packages that have it."""

GUESTS = {"bookworm": "bookworm", "trixie": "trixie", "qemu": "trixie"}
"""Suites of the guests."""
EMPTY_DOMAINS = {
    "off": {"channel": True, "started": False},
    "without-channel": {"channel": False, "started": True},
    "without-agent": {"channel": True, "started": True},
}
_BOOT_SECONDS = 600.0
_CONSOLE_CHARACTERS = 2000


class Lab:
    """The virtual machines of one state directory.

    :param state: directory for all that runs; each machine has one in it, by its name.
    """

    def __init__(self, state: pathlib.Path) -> None:
        self._state = state
        self._libvirt = Libvirt(state)
        self._qemu = Qemu(state / "qemu")

    def start(self, guests: list[str]) -> pathlib.Path:
        """Starts machines, waits until all their agents answer, and returns the path of the inventory.

        :param guests: which ones of :data:`GUESTS`.
        :raises RuntimeError: a program failed, or an agent did not answer within 10 minutes; the message says what was
            printed.
        """
        inventory = Inventory()
        for guest in guests:
            self._start_guest(guest)
        deadline = time.monotonic() + _BOOT_SECONDS
        for guest in guests:
            try:
                self._wait_for_guest(guest, deadline)
            except TimeoutError as error:
                console = (self._state / guest / "console.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{error}. Its console ends with\n{console[-_CONSOLE_CHARACTERS:]}") from None
            if guest == "qemu":
                inventory.add_qemu(guest, self._qemu)
            else:
                inventory.add_domain(guest, _domain(guest))
        if set(guests) - {"qemu"}:
            for name, properties in EMPTY_DOMAINS.items():
                domains.define_empty(self._state / name, _domain(name), **properties)
                inventory.add_empty_domain(name, _domain(name))
        file = self._state / "inventory.yml"
        file.write_text(inventory.yaml(), encoding="utf-8")
        return file

    def remove(self) -> None:
        """Ends and removes all that there is of the lab, also of one that was only half started."""
        self._qemu.end()
        directories = [path for path in self._state.iterdir() if path.is_dir() and path.name != "qemu"]
        if directories:
            # Its daemons may have died, and the domains gone on.
            self._libvirt.start()
            domains.remove(directories)
        self._libvirt.end()
        shutil.rmtree(self._state)

    def _start_guest(self, guest: str) -> None:
        suite = GUESTS[guest]
        if not images.image_of(suite).directory.is_dir():
            print(f"making a disk of Debian {suite}, once", flush=True)
        image = images.build(suite)
        fastest = accelerator(image.kernel, trees.cache_directory().with_name("accelerator"))
        machine = Machine(_domain(guest), image, fastest, self._state / guest)
        print(f"starting {guest} ({fastest})", flush=True)
        machine.create_files()
        if guest == "qemu":
            self._qemu.start(machine)
        else:
            self._libvirt.start()
            domains.start_guest(machine)

    def _wait_for_guest(self, guest: str, deadline: float) -> None:
        if guest == "qemu":
            endpoints = self._qemu.endpoints()
        else:
            domains.wait_for_agent(_domain(guest), deadline)
            endpoints = domains.endpoints(_domain(guest))
        for endpoint in endpoints.values():
            agents.wait_for_answer(endpoint, deadline)
        print(f"{guest} answers", flush=True)


def _domain(name: str) -> str:
    return f"netless-{name}"


@contextlib.contextmanager
def _claimed(state: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from starting or removing the lab in ``state``."""
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RuntimeError(f"another process is at work on the lab in {state}") from None
    finally:
        os.close(directory)


def up(state: pathlib.Path, guests: list[str]) -> None:
    """Starts the lab in the background and prints how to use it."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({PROGRAMS[program] for program in missing}))
        raise RuntimeError(f"{', '.join(missing)} not found; apt-get install --no-install-recommends {packages}")
    state.mkdir(parents=True, exist_ok=True)
    with _claimed(state):
        if any(state.iterdir()):
            raise RuntimeError(f"there is a lab in {state} already; remove it first: python3 -m tests.lab down")
        lab = Lab(state)
        try:
            inventory = lab.start(guests)
        except BaseException:
            lab.remove()
            raise
    print(f"Try it: ansible -i {inventory} guests -m ansible.builtin.setup")
    print("Groups: guests, other_endpoints, restricted, not_answering")
    print(f"The password of {trees.SUDO_PASSWORD_USER} is {trees.SUDO_PASSWORD_USER_PASSWORD}", flush=True)


def down(state: pathlib.Path) -> None:
    """Removes the lab and all that belongs to it but the cached disk images; no lab to remove is fine."""
    if state.is_dir():
        with _claimed(state):
            Lab(state).remove()


def _end_by_exception(number: int, frame: object) -> NoReturn:
    # A second signal shall not cut the cleaning up short.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main(arguments: list[str]) -> None:
    """The program's command line."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("guest", nargs="*", help=f"guests to start: {', '.join(GUESTS)}; all of them by default")
    parser.add_argument(
        "--state",
        type=pathlib.Path,
        default=trees.cache_directory().with_name("lab"),
        help="directory for all that runs, by default %(default)s",
    )
    options = parser.parse_intermixed_args(arguments)
    if unknown := set(options.guest) - set(GUESTS):
        parser.error(f"unknown guest {', '.join(sorted(unknown))}; there are {', '.join(GUESTS)}")
    if os.geteuid() != 0:
        parser.error("the lab needs root")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end_by_exception)
    try:
        if options.action == "up":
            up(options.state.absolute(), options.guest or list(GUESTS))
        else:
            down(options.state.absolute())
    except (OSError, RuntimeError) as error:
        sys.exit(f"lab: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
