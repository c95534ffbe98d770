# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module fsfreeze_info, against a scripted agent."""

from __future__ import annotations

import pathlib
import threading
import typing as t
from dataclasses import replace

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import GUARD, RecordFile, freeze_lock

from .conftest import RunModule, operation_of, silence_of
from .freezable_guest import FreezableGuest


@pytest.fixture(name="guest")
def fixture_guest() -> FreezableGuest:
    return FreezableGuest()


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_returns_status_and_changes_nothing(
    run_module: RunModule, guest: FreezableGuest, frozen: bool, check_mode: bool
) -> None:
    guest.frozen = frozen
    result = run_module("fsfreeze_info", guest, check_mode=check_mode)
    assert result == {"changed": False, "status": "frozen" if frozen else "thawed"}
    assert guest.changing_commands() == [] and guest.frozen == frozen


@pytest.mark.parametrize("options", [{"mountpoints": ["/"]}, {"max_frozen": 60}, {"state": "frozen"}])
def test_rejects_options_of_freezing(options: dict[str, t.Any]) -> None:
    assert ArgumentSpecValidator(operation_of("fsfreeze_info").argument_spec).validate(options).error_messages


def test_returns_freeze_of_this_host(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", mountpoints=["/", "/srv"])
    result = run_module("fsfreeze_info", guest)
    assert result["frozen"] == 2 and result["mountpoints"] == ["/", "/srv"] and "guard" not in result
    assert result["frozen_at"] == freeze["frozen_at"]
    run_module("fsfreeze", guest, state="thawed")
    assert run_module("fsfreeze_info", guest) == {"changed": False, "status": "thawed"}


def test_returns_running_guard(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert run_module("fsfreeze_info", guest)["guard"] == freeze["guard"]


def test_returns_that_another_tool_thawed(run_module: RunModule, guest: FreezableGuest) -> None:
    run_module("fsfreeze", guest, state="frozen")
    guest.thaw()
    assert run_module("fsfreeze_info", guest) == {"changed": False, "status": "thawed", "thawed_by": "others"}


def test_guard_that_is_about_to_write_that_it_thawed_is_waited_for(
    run_module: RunModule, guest: FreezableGuest
) -> None:
    with guest.listening() as path:
        endpoint = f"unix:{path}"
        run_module("fsfreeze", endpoint, state="frozen")
        lock, file = freeze_lock(endpoint), RecordFile(endpoint)
        record = file.read()
        assert record is not None
        lock.acquire(Deadline.after(5))
        guest.thaw()

        def write() -> None:
            file.write(replace(record, thawed_by=GUARD))
            lock.release()

        writing = threading.Timer(1.0, write)
        writing.start()
        result = run_module("fsfreeze_info", endpoint)
        writing.join()
    assert result["thawed_by"] == "guard"


def test_broken_record_is_ignored(run_module: RunModule, guest: FreezableGuest, tmp_path: pathlib.Path) -> None:
    run_module("fsfreeze", guest, state="frozen")
    (record,) = tmp_path.glob("netless-qga-*/*.freeze")
    record.write_text("{")
    assert run_module("fsfreeze_info", guest) == {"changed": False, "status": "frozen"}


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("hangs_up", "outcome_unknown"),
        ("wrong_types", "protocol_violation"),
        ("silence", "agent_silent"),
    ],
)
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    guest = FreezableGuest(profile)
    result = run_module("fsfreeze_info", guest, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error and guest.changing_commands() == []


def test_unknown_status_is_a_protocol_violation(run_module: RunModule, guest: FreezableGuest) -> None:
    guest.handlers["guest-fsfreeze-status"] = lambda arguments: "thawing"
    assert run_module("fsfreeze_info", guest)["error"] == "protocol_violation"


def test_agent_without_the_command(run_module: RunModule, guest: FreezableGuest) -> None:
    guest.disabled.add("guest-fsfreeze-status")
    assert run_module("fsfreeze_info", guest)["error"] == "command_disabled"
    del guest.handlers["guest-fsfreeze-status"]
    assert run_module("fsfreeze_info", guest)["error"] == "command_missing"
