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
CHANNELS = (AGENT_CHANNEL, SECOND_CHANNEL, RESTRICTED_CHANNEL)


@dataclass(frozen=True)
class Machine:
    """A virtual machine: its name, which its guest has too, what it boots, and the directory for its files."""

    name: str
    image: Image
    accelerator: Accelerator
    directory: pathlib.Path

    @property
    def disk(self) -> pathlib.Path:
        """An overlay of the image's disk."""
        return self.directory / "disk.qcow2"

    @property
    def console(self) -> pathlib.Path:
        """What the guest prints on its first serial port. The second one is an agent's."""
        return self.directory / "console.log"

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
        """Makes the directory and the overlay in it.

        :raises RuntimeError: qemu-img failed.
        """
        self.directory.mkdir(parents=True)
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(self.image.disk), str(self.disk)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"qemu-img could not create {self.disk}: {result.stderr.strip()}")
