# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of guests that are up: memory and disk, from which others like them go on within seconds.

A state is a disk with a snapshot in it, kept in ``${XDG_CACHE_HOME:-~/.cache}/netless-qga/states`` under a name that
changes with everything that QEMU wants to find again when it goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

from ..guests import trees
from .machine import Machine
from .virtual_machine import VirtualMachine

SNAPSHOT = "up"
"""Its name in the disk."""

_DIRECTORY = trees.cache_directory().with_name("states")


def path_of(kind: str, definition: str, machine: Machine) -> pathlib.Path:
    """Where the state of the guests of a kind is, or will be once :func:`save` has made it.

    :param definition: of a machine of this kind, with a name and a directory that are the same every time.
    :param machine: one of this kind.
    """
    programs = [_output(program, "--version") for program in ("qemu-system-x86_64", "libvirtd")]
    facts = [definition, machine.image.version, *programs]
    if machine.accelerator == "kvm":
        # The guest's processor is the machine's own then.
        facts += sorted({line for line in _processors() if line.startswith(("flags", "model name"))})
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()
    return _DIRECTORY / f"{kind}-{key[:12]}.qcow2"


@contextlib.contextmanager
def claimed(kind: str) -> Iterator[None]:
    """Keeps other processes from making a state of this kind at the same time."""
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    with open(_DIRECTORY / f"{kind}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def save(guest: VirtualMachine, state: pathlib.Path, kind: str) -> None:
    """Saves a guest that is up, ends it, and makes its disk the only state of its kind.

    :raises RuntimeError: QEMU cannot save it.
    """
    # A system that has nothing more to do at its start; that a unit failed is no matter here.
    guest.run("sh", "-c", "systemctl is-system-running --wait || true")
    said = guest.monitor(f"savevm {SNAPSHOT}").strip()
    if said:
        raise RuntimeError(f"QEMU cannot save the state of {kind}: {said}")
    guest.end()
    partial = state.with_suffix(".partial")
    try:
        # The lab's directory may be on another filesystem.
        shutil.move(guest.machine.disk, partial)
        for old in _DIRECTORY.glob(f"{kind}-*.qcow2"):
            old.unlink()
        partial.rename(state)
    finally:
        partial.unlink(missing_ok=True)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _processors() -> list[str]:
    return pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
