# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest with virtual CPUs, for the tests of vcpus and vcpus_info."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent


class GuestWithVcpus:
    """A guest with four virtual CPUs: the last one is offline, and the first one cannot be taken offline.

    :param stubborn: the one that the guest does not switch.
    """

    def __init__(self, *profiles: str, stubborn: int | None = None) -> None:
        self.agent = ScriptedAgent(*profiles)
        self.online = {2: True, 0: True, 3: False, 1: True}
        self.stubborn = stubborn
        self.agent.handlers["guest-get-vcpus"] = self._get
        self.agent.handlers["guest-set-vcpus"] = self._set

    @property
    def set_calls(self) -> list[t.Any]:
        """The vCPUs of each guest-set-vcpus that the agent received."""
        return [
            request["arguments"]["vcpus"] for request in self.agent.requests if request["execute"] == "guest-set-vcpus"
        ]

    def _get(self, arguments: dict[str, t.Any]) -> t.Any:
        return [
            {"logical-id": number, "online": online, "can-offline": number != 0}
            for number, online in self.online.items()
        ]

    def _set(self, arguments: dict[str, t.Any]) -> t.Any:
        for done, vcpu in enumerate(arguments["vcpus"]):
            if vcpu["logical-id"] == self.stubborn:
                if not done:
                    raise ErrorReply("failed to do that")
                return done
            self.online[vcpu["logical-id"]] = vcpu["online"]
        return len(arguments["vcpus"])
