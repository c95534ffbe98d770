# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved states of running guests, memory and disk, from which guests of the same kind resume within seconds.

A state is a disk with a snapshot in it, kept in ``${XDG_CACHE_HOME:-~/.cache}/netless-qga/states`` under a name that
changes with everything that has to be the same when QEMU resumes.
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
"""The name of the snapshot in the disk."""

_DIRECTORY = trees.cache_directory().with_name("states")


def path_of(kind: str, definition: str, machine: Machine) -> pathlib.Path:
    """Return where the state of a kind of guests is, or will be once :func:`save` has saved it.

    :param kind: the name of the kind.
    :param definition: of a machine of this kind, with a name and a directory that are the same every time.
    :param machine: a machine of this kind.
    """
    programs = [_output(program, "--version") for program in ("qemu-system-x86_64", "libvirtd")]
    facts = [definition, machine.image.version, *programs]
    if machine.accelerator == "kvm":
        # The guest then sees the processor of this machine.
        facts += sorted({line for line in _processors() if line.startswith(("flags", "model name"))})
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()
    return _DIRECTORY / f"{kind}-{key[:12]}.qcow2"


@contextlib.contextmanager
def claimed(kind: str) -> Iterator[None]:
    """Keep other processes from saving a state of this kind at the same time."""
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    with open(_DIRECTORY / f"{kind}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def save(guest: VirtualMachine, state: pathlib.Path, kind: str) -> None:
    """Save a running guest, end it, and make its disk the only state of its kind.

    :raises RuntimeError: QEMU cannot save it.
    """
    # Wait until the system has finished its start. A failed unit does not matter here.
    guest.run("sh", "-c", "systemctl is-system-running --wait || true")
    message = guest.monitor(f"savevm {SNAPSHOT}").strip()
    if message:
        raise RuntimeError(f"QEMU cannot save the state of {kind}: {message}")
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
