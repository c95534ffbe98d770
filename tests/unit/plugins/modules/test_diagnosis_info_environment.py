# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module diagnosis_info: findings about what programs find in the guest."""

from __future__ import annotations

import os
import pwd
import shutil
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.local_guest import LocalGuest

from .conftest import Clock, Diagnose
from .diagnosed_agent import HEALTHY, agent_with, requested


def test_findings_on_this_machine(diagnose: Diagnose) -> None:
    guest = LocalGuest()
    found = diagnose(guest)
    assert found["shell"]["status"] == found["spool"]["status"] == "ok"
    assert found["user"]["message"] == f"The agent runs as {pwd.getpwuid(os.geteuid()).pw_name}" + (
        "" if os.geteuid() == 0 else ", and not as root"
    )
    assert found["gzip"]["status"] == ("ok" if shutil.which("gzip") else "warning")
    assert found["setsid"]["status"] == ("ok" if shutil.which("setsid") else "warning")
    assert guest.running == {} and guest.handles == {}


def test_guest_with_only_a_shell_has_warnings(
    diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = diagnose(LocalGuest())
    assert found["shell"]["status"] == "ok" and found["user"]["status"] == "unknown"
    assert found["gzip"]["status"] == found["setsid"]["status"] == "warning"


def test_missing_shell_is_a_problem(diagnose: Diagnose) -> None:
    def refuse(arguments: t.Any) -> t.Any:
        raise ErrorReply("Guest agent command failed, error was 'Failed to execute child process'")

    agent = agent_with()
    agent.handlers["guest-exec"] = refuse
    found = diagnose(agent)
    assert found["shell"]["status"] == "problem" and "did not start /bin/sh" in found["shell"]["message"]


def test_program_that_does_not_end_is_a_problem(diagnose: Diagnose, clock: Clock) -> None:
    clock.skips_sleep = True
    agent = agent_with()
    agent.handlers["guest-exec-status"] = lambda arguments: {"exited": False}
    found = diagnose(agent)
    assert found["shell"]["status"] == "problem" and "does not end" in found["shell"]["message"]


def test_agent_that_disappears_during_exec_is_a_problem(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.deliveries.append(lambda line: [None] if requested(agent)[-1] == "guest-exec" else [line])
    found = diagnose(agent)
    assert found["shell"]["status"] == "problem" and "hangs" in found["shell"]["advice"]


@pytest.mark.parametrize("output", ["", "end", "\0\xff\n", "x" * 100_000])
def test_shell_with_wrong_output_is_a_problem(diagnose: Diagnose, output: str) -> None:
    found = diagnose(agent_with(output=output, rc=127))
    assert found["shell"]["status"] == "problem" and "127" in found["shell"]["message"]


def test_missing_tools_are_warnings(diagnose: Diagnose) -> None:
    found = diagnose(agent_with(output="uid \nuser \nend yes\n"))
    assert found["shell"]["status"] == "ok" and found["user"]["status"] == "unknown"
    assert found["spool"]["status"] == "problem"
    assert {found[name]["status"] for name in ("python", "gzip", "setsid")} == {"warning"}


def test_other_user_than_root_is_a_warning(diagnose: Diagnose) -> None:
    found = diagnose(agent_with(output=HEALTHY.replace("uid 0\nuser root", "uid 998\nuser qemu-ga")))
    assert found["user"]["status"] == "warning" and "qemu-ga" in found["user"]["message"]
    assert found["result"]["ok"]


@pytest.mark.parametrize(
    ("version", "status"), [("2.7", "warning"), ("3.6", "warning"), ("3.8", "warning"), ("3.9", "ok"), ("x", "warning")]
)
def test_python_version(diagnose: Diagnose, version: str, status: str) -> None:
    output = HEALTHY.replace("python 3.13", f"python {version}")
    assert diagnose(agent_with(output=output))["python"]["status"] == status


@pytest.mark.parametrize(
    ("context", "enforce", "writes", "status"),
    [
        ("system_u:system_r:virt_qemu_ga_t:s0", "1", False, "problem"),
        ("system_u:system_r:virt_qemu_ga_t:s0", "unknown", False, "problem"),
        ("system_u:system_r:virt_qemu_ga_t:s0", "1", True, "ok"),
        ("system_u:system_r:virt_qemu_ga_t:s0", "0", False, "ok"),
        ("system_u:system_r:unconfined_service_t:s0", "1", True, "ok"),
    ],
)
def test_selinux(diagnose: Diagnose, context: str, enforce: str, writes: bool, status: str) -> None:
    output = f"enforce {enforce}\ncontext {context}\0\n{'writes yes' if writes else ''}\n{HEALTHY}"
    found = diagnose(agent_with(output=output))
    assert found["selinux"]["status"] == status and context in found["selinux"]["message"]
    assert ("semanage permissive" in found["result"]["summary"]) is (status == "problem")


def test_output_of_the_guest_is_cleaned(diagnose: Diagnose) -> None:
    output = "user \x1b[2Jroot\nuser other\nuid 5\n" + HEALTHY
    found = diagnose(agent_with(output=output))
    assert "\x1b" not in found["user"]["message"] and "other" not in found["user"]["message"]
