# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that every virtual machine of the lab has, under libvirt or directly under QEMU."""

from __future__ import annotations

import pathlib
import subprocess
from dataclasses import dataclass

from .acceleration import Accelerator
from .images import Image

MEMORY_MIB = 512
AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""libvirt reserves this channel for itself."""
SECOND_CHANNEL = "io.netless.agent.0"
RESTRICTED_CHANNEL = "io.netless.restricted.0"
"""The agent on this channel refuses to run programs and to handle files, as by default on RHEL."""

MAX_SOCKET_PATH = 107
"""In bytes: sun_path has 108 and ends with a NUL."""


@dataclass(frozen=True)
class Machine:
    """A virtual machine: its name, which is also its guest's, what it boots, and the directory for its files."""

    name: str
    image: Image
    accelerator: Accelerator
    directory: pathlib.Path
    saved_state: pathlib.Path | None = None
    """The state that it resumes from; without one it boots."""

    @property
    def disk(self) -> pathlib.Path:
        """An overlay of the image's disk, or a copy of the saved state, which is also such an overlay."""
        return self.directory / "disk.qcow2"

    @property
    def console(self) -> pathlib.Path:
        """The guest's output on its first serial port. An agent uses the second one."""
        return self.directory / "console.log"

    @property
    def agent(self) -> pathlib.Path:
        """The socket of an agent that may do everything."""
        return self.directory / "agent.sock"

    @property
    def restricted(self) -> pathlib.Path:
        """The socket of the agent on :data:`RESTRICTED_CHANNEL`."""
        return self.directory / "restricted.sock"

    @property
    def missing_cpu_features(self) -> tuple[str, ...]:
        """The features of QEMU's CPU that are disabled."""
        # QEMU before 8.0 may corrupt the flags when it emulates cmpxchg16b, and a newer kernel then crashes at boot.
        return ("cx16",) if self.accelerator == "tcg" else ()

    @property
    def kernel_arguments(self) -> str:
        # systemd does not query a dumb terminal. Nobody would answer.
        return f"console=ttyS0 TERM=dumb root=/dev/vda rw quiet systemd.hostname={self.name}"

    def create_files(self) -> None:
        """Create the directory, and the disk in it.

        :raises RuntimeError: a path is too long for a socket, or the disk could not be created.
        """
        length = max(len(bytes(path)) for path in (self.agent, self.restricted))
        if length > MAX_SOCKET_PATH:
            raise RuntimeError(f"{self.restricted} is too long for a socket; use a shorter --state")
        self.directory.mkdir(parents=True)
        if self.saved_state is None:
            backing = ("-F", "qcow2", "-b", str(self.image.disk))
            command = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(self.disk)]
        else:
            # An overlay of the saved state would not contain its snapshot.
            command = ["cp", "--reflink=auto", "--", str(self.saved_state), str(self.disk)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"{command[0]} could not create {self.disk}: {result.stderr.strip()}")
