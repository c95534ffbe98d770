# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a virtual machine, under libvirt or directly under QEMU."""

from __future__ import annotations

import abc
import time

from . import agents
from .machine import Machine


class VirtualMachine(abc.ABC):
    """A machine that runs in the background, and keeps running when this process ends."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @abc.abstractmethod
    def definition(self) -> str:
        """Return everything that defines the machine, except the saved state to resume from."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start the machine, from its saved state if it has one.

        :raises RuntimeError: that failed.
        """

    @abc.abstractmethod
    def end(self) -> None:
        """End the machine if it runs, and remove everything of it except its directory.

        :raises RuntimeError: that failed.
        """

    @abc.abstractmethod
    def monitor(self, command: str) -> str:
        """Pass a command to QEMU's human monitor and return what it prints.

        :raises OSError: QEMU does not run.
        :raises RuntimeError: the command cannot be passed.
        """

    @abc.abstractmethod
    def endpoints(self) -> dict[str, str]:
        """Return the endpoints of the agents that no other client is connected to.

        The agent at ``unix`` may do everything, the one at ``restricted`` may not, ``serial`` is on a serial line, and
        ``tcp`` is on a port.

        :raises OSError: the machine does not run.
        :raises RuntimeError: the machine does not run.
        """

    def wait(self, deadline: float) -> None:
        """Wait until all agents answer.

        :param deadline: when to give up, in seconds of the monotonic clock.
        :raises TimeoutError: an agent does not answer.
        """
        for endpoint in self.endpoints().values():
            agents.wait_for_answer(endpoint, deadline)

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a program in the guest and return what it prints.

        :raises RuntimeError: the program failed; the message contains its standard error.
        """
        return agents.run(f"unix:{self.machine.agent}", command, stdin)

    def set_clock_and_name(self) -> None:
        """Give a guest that resumed from a saved state its own name and the current time."""
        agents.ask(f"unix:{self.machine.agent}", "guest-set-time", {"time": time.time_ns()})
        self.run("hostname", self.machine.name)
