# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest in a running lab: what the tests do to it, without the collection.

The environment variable NETLESS_LAB names the directory of the lab.
"""

from __future__ import annotations

import os
import pathlib
import time

from ansible_collections.netless.qga.tests.lab import agents, daemons
from ansible_collections.netless.qga.tests.lab.libvirt_daemons import Libvirt, virsh
from ansible_collections.netless.qga.tests.lab.saved_states import SNAPSHOT

NAME = "netless-bookworm"
SERVICE = "qemu-guest-agent"
"""The service of the agent that the tests use; another agent does what has to be done to the guest."""
_RESUME = f"<qemu:commandline><qemu:arg value='-loadvm'/><qemu:arg value='{SNAPSHOT}'/></qemu:commandline></domain>"
_UP_TIMEOUT = 300.0


class Guest:
    """A guest, and the domain that it runs in.

    :param lab: the directory of the lab.
    """

    def __init__(self, lab: pathlib.Path) -> None:
        self._lab = lab
        self.helper = f"unix:{lab}/bookworm/agent.sock"
        """The endpoint of the agent that the tests do not use."""

    def shell(self, script: str) -> str:
        """Run a script with the other agent, and return what it writes. It opens no file in the guest."""
        return agents.run(self.helper, ["/bin/sh", "-ec", script], "")

    def signal_agent(self, name: str) -> None:
        """Send a signal to the agent that the tests use."""
        self.shell(f"systemctl kill --kill-who=main --signal={name} {SERVICE}")

    def restart_agent(self) -> None:
        """Restart the agent that the tests use."""
        self.shell(f"systemctl restart {SERVICE}")

    def virsh(self, command: str, *arguments: str) -> str:
        """Run a command of virsh that takes the domain."""
        return virsh(command, NAME, *arguments)

    def monitor(self, command: str) -> None:
        """Pass a command to QEMU's monitor, which prints nothing if it works."""
        printed = self.virsh("qemu-monitor-command", "--hmp", command).strip()
        assert printed == "", printed

    def resume_saved_state(self) -> None:
        """Start the domain, which is off, from the state in which the lab has started it."""
        file = self._lab / "bookworm" / "domain.xml"
        resuming = file.with_name("resuming.xml")
        resuming.write_text(
            file.read_text(encoding="utf-8").rstrip().removesuffix("</domain>") + _RESUME, encoding="utf-8"
        )
        virsh("define", str(resuming))
        self.virsh("start")
        virsh("define", str(file))
        self.wait_until_up()
        agents.ask(self.helper, "guest-set-time", {"time": time.time_ns()})

    def wait_until_up(self) -> None:
        """Wait until the guest's agents answer."""
        end = time.monotonic() + _UP_TIMEOUT
        agents.wait_for_answer(self.helper, end)
        while True:
            try:
                self.virsh("qemu-agent-command", '{"execute": "guest-ping"}', "--timeout", "5")
            except RuntimeError:
                assert time.monotonic() < end, "the agent does not answer"
                time.sleep(0.5)
            else:
                return

    @property
    def libvirtd(self) -> int | None:
        """The process id of the lab's own libvirtd, None if the machine has another one."""
        return daemons.process_of(self._lab / "libvirtd.pid")

    def restart_libvirtd(self) -> None:
        """Restart libvirtd in order."""
        Libvirt(self._lab).restart()

    def kill_libvirtd(self) -> None:
        """Kill libvirtd, and start it again."""
        process = self.libvirtd
        assert process is not None
        os.kill(process, 9)
        Libvirt(self._lab).start()
