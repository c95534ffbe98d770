# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and removing all virtual machines of a lab together."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ..guests import trees
from . import domains, images, network, qemu, saved_states
from .acceleration import accelerator
from .domains import Domain
from .inventory import Inventory
from .libvirt_daemons import Libvirt
from .machine import Machine
from .qemu import Qemu
from .virtual_machine import VirtualMachine


@dataclass(frozen=True)
class Kind:
    """Guests that resume from the same saved state."""

    name: str
    suite: str
    runner: type[VirtualMachine]


_BOOKWORM = Kind("bookworm", "bookworm", Domain)
GUESTS = {
    "bookworm": {"bookworm": _BOOKWORM},
    "trixie": {"trixie": Kind("trixie", "trixie", Domain)},
    "qemu": {"qemu": Kind("qemu", "trixie", Qemu)},
    "fleet": {f"fleet-{number}": _BOOKWORM for number in range(1, 5)},
    "ssh": {"ssh": _BOOKWORM},
}
"""What can be started: names of the command line, and their guests with their kinds."""
EMPTY_DOMAINS = {
    "off": {"channel": True, "started": False},
    "without-channel": {"channel": False, "started": True},
    "without-agent": {"channel": True, "started": True},
}
_BOOT_TIMEOUT = 600.0
_RESUME_TIMEOUT = 120.0
_CONSOLE_EXCERPT_LENGTH = 2000


class Lab:
    """The virtual machines of one state directory.

    :param state: directory for everything that runs; each machine has a subdirectory with its name.
    """

    def __init__(self, state: pathlib.Path) -> None:
        self._state = state
        self._libvirt = Libvirt(state)
        self._states: dict[Kind, pathlib.Path] = {}

    def start(self, names: Iterable[str]) -> pathlib.Path:
        """Start machines, wait until all their agents answer, and return the path of the inventory.

        :param names: keys of :data:`GUESTS`.
        :raises RuntimeError: a program failed, or an agent did not answer within 10 minutes; the message contains what
            was printed.
        """
        kinds = self.prepare(names)
        with_domains = any(kind.runner is Domain for kind in kinds.values())
        if with_domains:
            for name in [*(name for name, kind in kinds.items() if kind.runner is Domain), *EMPTY_DOMAINS]:
                domains.free_name(_full_name(name))
        guests = self._start_guests(kinds)
        inventory = Inventory()
        for name, guest in guests.items():
            if isinstance(guest, Qemu):
                inventory.add_qemu(name, guest)
            elif isinstance(guest, Domain) and name == "ssh":
                inventory.add_domain(name, guest, inventory.with_network)
                inventory.add_ssh("ssh-by-ssh", network.plug_in(guest))
            elif isinstance(guest, Domain):
                in_fleet = name in GUESTS["fleet"]
                inventory.add_domain(name, guest, inventory.fleet if in_fleet else inventory.guests)
        if with_domains:
            for name, properties in EMPTY_DOMAINS.items():
                domains.define_empty(self._state / name, _full_name(name), **properties)
                inventory.add_empty_domain(name, _full_name(name))
        file = self._state / "inventory.yml"
        file.write_text(inventory.yaml(), encoding="utf-8")
        return file

    def prepare(self, names: Iterable[str]) -> dict[str, Kind]:
        """Build what is kept for later starts, disks and saved states of guests, and return the guests' kinds.

        :raises RuntimeError: as :meth:`start` does.
        """
        kinds = {guest: kind for name in names for guest, kind in GUESTS[name].items()}
        if any(kind.runner is Domain for kind in kinds.values()):
            self._libvirt.start()
        self._save_states(set(kinds.values()))
        return kinds

    def remove(self) -> None:
        """End and remove everything of the lab, even if it was only partly started."""
        directories = [path for path in self._state.iterdir() if path.is_dir()]
        for directory in directories:
            qemu.end(directory)
        if with_domains := [path for path in directories if (path / "domain.xml").exists()]:
            # The lab's daemons may have died while its domains kept running.
            self._libvirt.start()
            domains.remove(with_domains)
        self._libvirt.end()
        shutil.rmtree(self._state)

    def _save_states(self, kinds: Iterable[Kind]) -> None:
        """Boot a guest of each kind that has no saved state, and save its state."""
        with contextlib.ExitStack() as claims:
            booting: dict[Kind, VirtualMachine] = {}
            for kind in sorted(kinds, key=lambda kind: kind.name):
                machine = self._machine(f"saved-{kind.name}", kind)
                standard = dataclasses.replace(machine, name="guest", directory=pathlib.Path("/lab"))
                state = saved_states.path_of(kind.name, kind.runner(standard).definition(), machine)
                self._states[kind] = state
                if not state.exists():
                    claims.enter_context(saved_states.claimed(kind.name))
                if not state.exists():
                    booting[kind] = kind.runner(machine)
                    if kind.runner is Domain:
                        domains.free_name(machine.name)
                    _start(booting[kind])
            deadline = time.monotonic() + _BOOT_TIMEOUT
            for kind, guest in booting.items():
                _wait(guest, deadline)
                try:
                    saved_states.save(guest, self._states[kind], kind.name)
                    print(f"saved the state of {kind.name} for later starts", flush=True)
                except RuntimeError as error:
                    print(f"{error}; every start boots", flush=True)
                    guest.end()
                shutil.rmtree(guest.machine.directory)

    def _start_guests(self, kinds: dict[str, Kind]) -> dict[str, VirtualMachine]:
        guests: dict[str, VirtualMachine] = {}
        for name, kind in kinds.items():
            state = self._states[kind]
            guests[name] = kind.runner(self._machine(name, kind, state if state.exists() else None))
            try:
                _start(guests[name])
            except RuntimeError as error:
                guests[name] = self._boot_instead(guests[name], error)
        for name, guest in guests.items():
            try:
                _wait(guest, time.monotonic() + (_RESUME_TIMEOUT if guest.machine.saved_state else _BOOT_TIMEOUT))
                guest.set_clock_and_name()
            except (OSError, RuntimeError) as error:
                guests[name] = self._boot_instead(guest, error)
                _wait(guests[name], time.monotonic() + _BOOT_TIMEOUT)
            print(f"{name} answers", flush=True)
        return guests

    def _boot_instead(self, guest: VirtualMachine, error: Exception) -> VirtualMachine:
        """Boot a guest that could not resume from its saved state.

        :raises Exception: the error, if it had no saved state.
        """
        state = guest.machine.saved_state
        if state is None:
            raise error
        print(f"{guest.machine.name} cannot resume from {state}, which is removed: {error}", flush=True)
        guest.end()
        shutil.rmtree(guest.machine.directory, ignore_errors=True)
        state.unlink(missing_ok=True)
        booting = type(guest)(dataclasses.replace(guest.machine, saved_state=None))
        _start(booting)
        return booting

    def _machine(self, name: str, kind: Kind, state: pathlib.Path | None = None) -> Machine:
        if not images.image_of(kind.suite).is_intact:
            print(f"building a disk of Debian {kind.suite}, once", flush=True)
        image = images.build(kind.suite)
        fastest = accelerator(image.kernel, trees.cache_directory().with_name("accelerator"))
        return Machine(_full_name(name), image, fastest, self._state / name, state)


def _start(guest: VirtualMachine) -> None:
    machine = guest.machine
    verb = "booting" if machine.saved_state is None else "starting"
    print(f"{verb} {machine.name} ({machine.accelerator})", flush=True)
    machine.create_files()
    guest.start()


def _wait(guest: VirtualMachine, deadline: float) -> None:
    try:
        guest.wait(deadline)
    except TimeoutError as error:
        console = guest.machine.console.read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"{error}. Its console ends with\n{console[-_CONSOLE_EXCERPT_LENGTH:]}") from None


def _full_name(name: str) -> str:
    """Return the name of a virtual machine: of its guest, and of its domain."""
    return f"netless-{name}"
