# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every virtual machine of the lab has, whoever runs it."""

from __future__ import annotations

import pathlib
import subprocess
from dataclasses import dataclass

from .acceleration import Accelerator
from .images import Image

MEMORY_MIB = 512
AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""libvirt keeps this one to itself."""
SECOND_CHANNEL = "io.netless.agent.0"
RESTRICTED_CHANNEL = "io.netless.restricted.0"
"""Its agent refuses to run programs and to handle files, as by default on RHEL."""

MAX_SOCKET_PATH = 107
"""Bytes; sun_path has 108 and ends with a NUL."""


@dataclass(frozen=True)
class Machine:
    """A virtual machine: its name, which its guest has too, what it boots, and the directory for its files."""

    name: str
    image: Image
    accelerator: Accelerator
    directory: pathlib.Path
    saved_state: pathlib.Path | None = None
    """What it goes on from; without one it boots."""

    @property
    def disk(self) -> pathlib.Path:
        """An overlay of the image's disk, or a copy of the saved state, which is such an overlay too."""
        return self.directory / "disk.qcow2"

    @property
    def console(self) -> pathlib.Path:
        """What the guest prints on its first serial port. The second one is an agent's."""
        return self.directory / "console.log"

    @property
    def agent(self) -> pathlib.Path:
        """Socket of an agent that may do everything."""
        return self.directory / "agent.sock"

    @property
    def restricted(self) -> pathlib.Path:
        """Socket of the agent of :data:`RESTRICTED_CHANNEL`."""
        return self.directory / "restricted.sock"

    @property
    def missing_cpu_features(self) -> tuple[str, ...]:
        """Features that the CPU shall not have, out of all that QEMU has."""
        # QEMU before 8.0 may spoil the flags when it emulates cmpxchg16b; a newer kernel then dies of it at boot.
        return ("cx16",) if self.accelerator == "tcg" else ()

    @property
    def kernel_arguments(self) -> str:
        # A terminal that systemd asks nothing, since nobody answers.
        return f"console=ttyS0 TERM=dumb root=/dev/vda rw quiet systemd.hostname={self.name}"

    def create_files(self) -> None:
        """Makes the directory, and the disk in it.

        :raises RuntimeError: a path is too long for a socket, or the disk could not be created.
        """
        longest = max(len(bytes(path)) for path in (self.agent, self.restricted))
        if longest > MAX_SOCKET_PATH:
            raise RuntimeError(f"{self.restricted} is too long for a socket; use a shorter --state")
        self.directory.mkdir(parents=True)
        if self.saved_state is None:
            backing = ("-F", "qcow2", "-b", str(self.image.disk))
            command = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(self.disk)]
        else:
            # An overlay of it would not have its snapshot.
            command = ["cp", "--reflink=auto", "--", str(self.saved_state), str(self.disk)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"{command[0]} could not create {self.disk}: {result.stderr.strip()}")
