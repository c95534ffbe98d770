# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a virtual machine, whoever runs it."""

from __future__ import annotations

import abc
import time

from . import agents
from .machine import Machine


class VirtualMachine(abc.ABC):
    """A machine that runs in the background, or can: it goes on when this process ends."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @abc.abstractmethod
    def definition(self) -> str:
        """All that the one who runs it is told about it, but for the saved state to go on from."""

    @abc.abstractmethod
    def start(self) -> None:
        """Starts it, from its saved state if it has one.

        :raises RuntimeError: that failed.
        """

    @abc.abstractmethod
    def end(self) -> None:
        """Ends it if it runs; nothing of it is left but its directory.

        :raises RuntimeError: that failed.
        """

    @abc.abstractmethod
    def monitor(self, command: str) -> str:
        """Gives a command to QEMU's human monitor and returns what it prints.

        :raises OSError: QEMU does not run.
        :raises RuntimeError: the command cannot be given.
        """

    @abc.abstractmethod
    def endpoints(self) -> dict[str, str]:
        """Where the agents are that nobody else has a connection to: ``unix`` may do everything, ``restricted`` may
        not, ``serial`` is on a serial line, ``tcp`` on a port.

        :raises OSError: it does not run.
        :raises RuntimeError: it does not run.
        """

    def wait(self, deadline: float) -> None:
        """Waits until all agents answer.

        :param deadline: when to give up, in seconds of the monotonic clock.
        :raises TimeoutError: one does not.
        """
        for endpoint in self.endpoints().values():
            agents.wait_for_answer(endpoint, deadline)

    def run(self, *command: str, stdin: str = "") -> str:
        """Runs a program in the guest and returns what it prints.

        :raises RuntimeError: it failed; the message is what it said.
        """
        return agents.run(f"unix:{self.machine.agent}", command, stdin)

    def set_clock_and_name(self) -> None:
        """Makes a guest that went on from a saved state forget whose that was, and when."""
        agents.ask(f"unix:{self.machine.agent}", "guest-set-time", {"time": time.time_ns()})
        self.run("hostname", self.machine.name)
