# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an inventory learns from agents that answer, and from those that do not."""

from __future__ import annotations

import pathlib
import socket
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.agent_query import REPLY_LIMITS, ask_agent
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentReport, AgentState
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from ..conftest import Dial

DEBIAN = {"id": "debian", "version-id": "12"}


def agent_of_debian(*profiles: str) -> ScriptedAgent:
    agent = ScriptedAgent(*profiles)
    agent.handlers["guest-get-osinfo"] = lambda arguments: DEBIAN
    agent.handlers["guest-get-host-name"] = lambda arguments: {"host-name": "web1"}
    return agent


def ask(dial: Dial, to: ScriptedAgent | str, subsets: t.Sequence[str] = ("os",), seconds: float = 20) -> AgentReport:
    return ask_agent(dial(to, limits=REPLY_LIMITS), subsets, Deadline.after(seconds))


def test_agent_that_answers(dial: Dial) -> None:
    agent = agent_of_debian()
    report = ask(dial, agent, ("os", "hostname"))
    assert report == AgentReport(
        AgentState.REACHABLE,
        version="9.2.0",
        facts={"os": {"id": "debian", "version_id": "12"}, "hostname": "web1"},
        domain_state="running",
    )
    # One sync, and each command once.
    assert [request["execute"] for request in agent.requests] == [
        "guest-sync-delimited",
        "guest-info",
        "guest-get-osinfo",
        "guest-get-host-name",
    ]


def test_what_an_agent_does_not_report_is_missing(dial: Dial) -> None:
    report = ask(dial, ScriptedAgent(), ("os",))
    assert report.state is AgentState.REACHABLE
    assert report.facts == {}


def test_agent_that_may_not_even_report_its_version(dial: Dial) -> None:
    agent = agent_of_debian()
    agent.disabled.add("guest-info")
    report = ask(dial, agent)
    assert (report.state, report.version) == (AgentState.REACHABLE, "")
    assert report.facts["os"]["id"] == "debian"


def test_silent_agent(dial: Dial) -> None:
    report = ask(dial, ScriptedAgent("silence"), seconds=0.3)
    assert (report.state, report.domain_state) == (AgentState.SILENT, "")
    assert "no guest agent answers" in report.message


def test_agent_that_stops_after_the_sync(dial: Dial) -> None:
    assert ask(dial, ScriptedAgent("never"), seconds=0.5).state is AgentState.SILENT


@pytest.mark.parametrize("profile", ["garbage", "wrong_types", "endless", "deep", "nan"])
def test_hostile_agent(dial: Dial, profile: str) -> None:
    assert ask(dial, ScriptedAgent(profile)).state is AgentState.INVALID


def test_reply_that_is_too_large(dial: Dial) -> None:
    agent = agent_of_debian()
    agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "x" * REPLY_LIMITS.line}
    assert ask(dial, agent).state is AgentState.INVALID


def test_socket_that_another_client_holds(dial: Dial, tmp_path: pathlib.Path) -> None:
    agent = agent_of_debian()
    with agent.listening() as path, socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
        # The agent has accepted the other client once it has answered it.
        other.sendall(b'{"execute": "guest-ping"}\n')
        assert other.recv(4096)
        report = ask(dial, path, seconds=0.5)
        assert report.state is AgentState.BUSY
        assert "another client holds the socket" in report.message
        # The other client is still served.
        other.sendall(b'{"execute": "guest-ping"}\n')
        assert other.recv(4096)


def test_another_channel_of_this_user_holds_the_lock(dial: Dial) -> None:
    agent = agent_of_debian()
    with agent.listening() as path:
        channel: StreamChannel = dial(path)
        channel.sync(Deadline.after(20))
        assert ask(dial, path, seconds=0.3).state is AgentState.BUSY


def test_socket_that_was_left_behind(dial: Dial, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    report = ask(dial, str(path))
    assert (report.state, report.domain_state) == (AgentState.UNAVAILABLE, "off")


def test_socket_that_may_not_be_used(dial: Dial, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "not-a-socket"
    path.touch()
    report = ask(dial, str(path))
    assert (report.state, report.domain_state) == (AgentState.UNAVAILABLE, "")
