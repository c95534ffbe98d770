# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at agents that answer, that are restricted or frozen, and that do not answer."""

from __future__ import annotations

import base64
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._events.observation import Observation, observe
from ansible_collections.netless.qga.plugins.module_utils._guest.power.boot import UNKNOWN, Boot
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent

from ..conftest import Dial

BOOT_ID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


class GuestOfLinux(ScriptedAgent):
    """An agent that reports a boot."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = 1000
        content = base64.b64encode(f"{BOOT_ID}\n".encode()).decode()
        self.handlers["guest-get-cpustats"] = lambda arguments: [{"type": "linux", "cpu": 0, "user": self.ticks}]
        self.handlers["guest-file-open"] = lambda arguments: 1
        self.handlers["guest-file-read"] = lambda arguments: {"count": 37, "buf-b64": content, "eof": True}
        self.handlers["guest-file-close"] = lambda arguments: {}

    @property
    def opened(self) -> int:
        """How many files were opened."""
        return sum(request["execute"] == "guest-file-open" for request in self.requests)


def look(dial: Dial, to: ScriptedAgent | str, known: Boot = UNKNOWN, seconds: float = 20) -> Observation:
    return observe(Agent(dial(to)), known, Deadline.after(seconds))


def test_agent_that_answers(dial: Dial) -> None:
    seen = look(dial, GuestOfLinux())
    assert seen == Observation(True, version="9.2.0", boot=Boot(boot_id=BOOT_ID, ticks=1000), frozen=False)


@pytest.mark.parametrize(("known_ticks", "opened"), [(900, 0), (1000, 0), (1100, 1)])
def test_file_is_opened_only_if_ticks_do_not_show_the_boot(dial: Dial, known_ticks: int, opened: int) -> None:
    agent = GuestOfLinux()
    seen = look(dial, agent, Boot(boot_id=BOOT_ID, ticks=known_ticks))
    assert seen.boot == Boot(boot_id=BOOT_ID, ticks=1000)
    assert agent.opened == opened


def test_restricted_agent(dial: Dial) -> None:
    agent = GuestOfLinux()
    agent.disabled = {"guest-file-open", "guest-file-read", "guest-file-close"}
    assert look(dial, agent).boot == Boot(ticks=1000)
    assert agent.opened == 0


def test_frozen_guest(dial: Dial) -> None:
    agent = GuestOfLinux()
    agent.frozen = True
    seen = look(dial, agent)
    assert (seen.answers, seen.frozen, seen.boot) == (True, True, UNKNOWN)


def test_agent_that_is_allowed_nothing_is_up(dial: Dial) -> None:
    def refuse(arguments: t.Any) -> t.Any:
        raise ErrorReply("disabled")

    agent = ScriptedAgent()
    agent.handlers["guest-info"] = refuse
    assert look(dial, agent) == Observation(True)


def test_agent_that_is_silent(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.silent = True
    seen = look(dial, agent, seconds=0.5)
    assert (seen.answers, seen.reason) == (False, "agent_silent")
    assert seen.message


def test_no_agent_at_all(dial: Dial) -> None:
    seen = look(dial, "/no/such/socket")
    assert (seen.answers, seen.reason) == (False, "endpoint_unavailable")
