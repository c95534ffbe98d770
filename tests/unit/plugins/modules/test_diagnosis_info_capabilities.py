# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module diagnosis_info: findings about the agent, its version, what it may do and how fast it is."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis import capabilities
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply

from .conftest import Diagnose
from .diagnosed_agent import agent_with, requested


def test_old_agent_is_a_warning(diagnose: Diagnose) -> None:
    found = diagnose(agent_with("no_ids"))
    assert found["version"]["status"] == "warning" and "2.12.0" in found["version"]["message"]
    assert found["result"]["ok"] and found["result"]["summary"].startswith("The agent works")


def test_unknown_version_is_shown_safely(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.version = "\x1b[31mnewest\n" + "x" * 5000
    found = diagnose(agent)
    assert found["version"]["status"] == "unknown"
    assert "\x1b" not in found["version"]["message"] and len(found["version"]["message"]) < 400


@pytest.mark.parametrize("profile", ["frozen", "frozen_newer_text"])
def test_frozen_guest_is_a_problem(diagnose: Diagnose, profile: str) -> None:
    agent = agent_with(profile)
    found = diagnose(agent)
    assert found["frozen"]["status"] == "problem" and "netless.qga.fsfreeze" in found["frozen"]["advice"]
    assert list(found)[-1] == "frozen" and "guest-exec" not in requested(agent)


def test_blocked_fsfreeze_status_is_unknown(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.disabled.add("guest-fsfreeze-status")
    found = diagnose(agent)
    assert found["frozen"]["status"] == "unknown" and found["commands"]["status"] == "warning"
    assert "fsfreeze" in found["commands"]["message"]


def test_agent_without_fsfreeze_is_not_frozen(diagnose: Diagnose) -> None:
    agent = agent_with()
    for name in ("guest-fsfreeze-status", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"):
        del agent.handlers[name]
    assert diagnose(agent)["frozen"]["status"] == "ok"


def test_blocked_guest_info_is_a_problem(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.disabled.add("guest-info")
    found = diagnose(agent)
    assert found["version"]["status"] == "problem" and "guest-info" in found["version"]["advice"]


def test_blocked_exec_and_files_are_problems(diagnose: Diagnose) -> None:
    agent = agent_with("blocked")
    found = diagnose(agent)
    assert found["exec"]["status"] == found["files"]["status"] == "problem"
    message = "The agent of this guest (AlmaLinux 9.4) cannot run programs: the agent's configuration blocks guest-exec"
    assert found["exec"]["message"].startswith(message)
    assert "/etc/sysconfig/qemu-ga" in found["exec"]["advice"] and "qemu-ga.conf" in found["exec"]["advice"]
    assert found["commands"]["status"] == "warning" and "shell" not in found
    assert "of their work, or nothing: exec, file, file_content_info. The" in found["commands"]["message"]
    assert "blocks guest-exec, guest-exec-status, guest-file-open" in found["commands"]["message"]
    assert "guest-exec" not in requested(agent)
    assert found["result"]["summary"].endswith("Then see files.")


def test_blocked_exec_alone_limits_modules(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.disabled.add("guest-exec")
    found = diagnose(agent)
    assert found["files"]["status"] == "ok" and found["exec"]["status"] == "problem"
    assert found["commands"]["message"].endswith(
        "nothing: exec, file. The reason is that the agent's configuration blocks guest-exec"
    )


@pytest.mark.parametrize(
    ("distribution", "first", "second"),
    [
        ({"id": "debian"}, "/etc/qemu/qemu-ga.conf", "/etc/sysconfig/qemu-ga"),
        ({"id": "ubuntu", "pretty-name": "Ubuntu 24.04"}, "/etc/qemu/qemu-ga.conf", "/etc/sysconfig/qemu-ga"),
        ({"id": "rhel"}, "/etc/sysconfig/qemu-ga", "/etc/qemu/qemu-ga.conf"),
        ({"id": "opensuse-tumbleweed"}, "/etc/sysconfig/qemu-ga", "/etc/qemu/qemu-ga.conf"),
        ({}, "/etc/qemu/qemu-ga.conf", "/etc/sysconfig/qemu-ga"),
    ],
)
def test_advice_begins_with_the_file_of_the_distribution(
    diagnose: Diagnose, distribution: dict[str, str], first: str, second: str
) -> None:
    agent = agent_with("blocked")
    agent.handlers["guest-get-osinfo"] = lambda arguments: distribution
    found = diagnose(agent)
    for check in ("exec", "files", "commands"):
        advice = found[check]["advice"]
        assert 0 < advice.index(first) < advice.index(second)


def test_blocked_exec_without_osinfo_is_a_problem(diagnose: Diagnose) -> None:
    def refuse(arguments: t.Any) -> t.Any:
        raise ErrorReply("no such file")

    agent = agent_with("blocked")
    agent.handlers["guest-get-osinfo"] = refuse
    assert diagnose(agent)["exec"]["message"].startswith("The agent cannot run programs")
    agent.disabled.add("guest-get-osinfo")
    found = diagnose(agent)
    assert found["exec"]["status"] == "problem" and found["commands"]["status"] == "warning"


def test_missing_commands_name_the_needed_version(diagnose: Diagnose) -> None:
    agent = agent_with()
    for name in ("guest-exec", "guest-exec-status", "guest-ssh-add-authorized-keys"):
        del agent.handlers[name]
    found = diagnose(agent)
    assert found["exec"]["status"] == "problem" and "guest-exec (QEMU 2.5)" in found["exec"]["message"]
    assert "Upgrade" in found["exec"]["advice"]
    assert found["commands"]["status"] == "warning" and "authorized_keys" in found["commands"]["message"]


def test_command_of_several_modules_is_listed_once(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.disabled.add("guest-get-vcpus")
    message = diagnose(agent)["commands"]["message"]
    assert "vcpus, vcpus_info" in message and message.count("guest-get-vcpus") == 1


def test_slow_agent_is_a_warning(diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "_SLOW_SECONDS", 0.0)
    found = diagnose(agent_with())
    assert found["speed"]["status"] == "warning" and "ansible_qga_reply_timeout" in found["speed"]["advice"]
