# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module diagnosis_info: findings about the socket, and about whether an agent answers on it."""

from __future__ import annotations

import socket
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis import reachability
from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing

from .conftest import Diagnose, silence_of
from .diagnosed_agent import agent_with


def test_missing_socket_is_a_problem(diagnose: Diagnose, tmp_path: t.Any) -> None:
    found = diagnose(f"unix:{tmp_path}/nothing")
    assert found["channel"]["status"] == "problem" and "no such socket" in found["channel"]["message"]
    assert found["result"]["summary"].startswith(found["channel"]["message"])
    assert [finding["check"] for finding in found["result"]["findings"]] == ["libraries", "channel"]


def test_socket_held_by_another_client_is_a_problem(diagnose: Diagnose) -> None:
    agent = agent_with()
    with agent.listening() as path, socket.socket(socket.AF_UNIX) as holder:
        holder.connect(path)
        found = diagnose(f"unix:{path}", timeout=0.3)
    assert found["channel"]["status"] == "problem" and "another client holds" in found["channel"]["message"]
    assert "libvirt:NAME" in found["channel"]["advice"]


def test_silent_agent_is_a_problem(diagnose: Diagnose) -> None:
    found = diagnose(agent_with("silence"), silence=0.2)
    assert found["agent"]["status"] == "problem" and "qemu-guest-agent" in found["agent"]["advice"]
    assert "version" not in found


def test_closed_connection_is_a_problem(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.serve = lambda connection: None  # type: ignore[method-assign]
    found = diagnose(agent)
    assert found["agent"]["status"] == "problem" and "closed" in found["agent"]["message"]


@pytest.mark.parametrize("profile", ["stale", "ignores_ids", "no_delimited", "unsolicited_event"])
def test_unusual_agent_that_works_is_ok(diagnose: Diagnose, profile: str) -> None:
    assert diagnose(agent_with(profile))["agent"]["status"] == "ok"


def test_reports_discarded_bytes(diagnose: Diagnose) -> None:
    assert "thrown away" in diagnose(agent_with("stale"))["agent"]["message"]
    assert "thrown away" not in diagnose(agent_with())["agent"]["message"]


@pytest.mark.parametrize(
    ("profile", "advice"),
    [
        ("never", "hangs"),
        ("hangs_up", "hangs"),
        ("garbage", "leads to a guest agent"),
        ("wrong_types", "leads to a guest agent"),
        ("deep", "leads to a guest agent"),
        ("both", "leads to a guest agent"),
        ("neither", "leads to a guest agent"),
        ("nan", "leads to a guest agent"),
        ("random", "leads to a guest agent"),
        ("cut", "hangs"),
        ("foreign_ids", "hangs"),
    ],
)
def test_failure_after_sync_is_a_problem_of_the_version_check(diagnose: Diagnose, profile: str, advice: str) -> None:
    found = diagnose(agent_with(profile), silence=silence_of(profile))
    assert found["agent"]["status"] == "ok"
    assert found["version"]["status"] == "problem" and advice in found["version"]["advice"]
    assert list(found)[-1] == "version"


def test_missing_jsonschema_is_a_problem(diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> t.NoReturn:
        raise LibraryMissing("Python's jsonschema is needed")

    monkeypatch.setattr(reachability, "require_jsonschema", fail)
    found = diagnose(agent_with())
    assert found["libraries"]["status"] == "problem" and "jsonschema" in found["libraries"]["message"]
    assert "controller" in found["libraries"]["advice"] and "channel" not in found


def test_error_during_the_agent_check_is_a_problem(diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(channel: StreamChannel, deadline: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StreamChannel, "sync", fail)
    found = diagnose(agent_with())
    assert found["agent"]["status"] == "problem" and "No space left" in found["agent"]["message"]
    assert list(found)[-1] == "agent"
