# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module diagnosis_info: whatever is wrong with a guest is a finding, and never a failure."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis import reachability
from ansible_collections.netless.qga.plugins.module_utils._schema import validation
from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing
from ansible_collections.netless.qga.plugins.modules import diagnosis_info

from .conftest import Diagnose, RunModule
from .diagnosed_agent import agent_with, requested


def test_healthy_guest_has_only_ok_findings(diagnose: Diagnose) -> None:
    found = diagnose(agent_with())
    assert found["result"]["ok"] and "nothing to be done" in found["result"]["summary"]
    assert {name for name in found if name != "result"} == {
        *("libraries", "channel", "agent", "version", "frozen", "exec", "files", "commands", "speed"),
        *("shell", "user", "selinux", "spool", "python", "gzip", "setsid"),
    }
    assert {found[name]["status"] for name in found if name != "result"} == {"ok"}
    assert found["python"]["message"] == "python3.13 in the guest is Python 3.13"


def test_check_mode_runs_all_checks(diagnose: Diagnose) -> None:
    agent = agent_with()
    assert diagnose(agent, check_mode=True)["shell"]["status"] == "ok"
    assert set(requested(agent)) == {
        *("guest-sync", "guest-sync-delimited", "guest-info", "guest-fsfreeze-status", "guest-ping"),
        *("guest-exec", "guest-exec-status"),
    } - {"guest-sync"}


def test_diagnosis_and_unvalidated_command_need_no_jsonschema(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: t.Any) -> t.NoReturn:
        raise LibraryMissing("Python's jsonschema is needed")

    for module in (reachability, diagnosis_info, validation):
        monkeypatch.setattr(module, "require_jsonschema", fail)
    result = run_module("diagnosis_info", agent_with())
    assert not result["ok"] and "jsonschema" in result["summary"]
    assert run_module("command", agent_with(), command="guest-ping", validate=False)["reply"] == {}
    assert run_module("command", agent_with(), command="guest-ping")["error"] == "library_missing"


def test_invalid_endpoint_fails(run_module: RunModule) -> None:
    result = run_module("diagnosis_info", "carrier-pigeon:web1")
    assert result["failed"] and result["error"] == "invalid_request"
