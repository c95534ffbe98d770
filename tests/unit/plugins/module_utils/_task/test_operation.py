# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations return results, whatever happens while they run."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._schema import validation
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation, Result, Task
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    CommandDisabled,
    LibraryMissing,
    QgaError,
    TaskFailed,
)

NOTHING: dict[str, t.Any] = {"domain": None, "uri": None, "endpoint": None, "timeout": None}
UNIX = Address("unix:/run/vms/web1.sock", "web1", "qemu:///system")


def carry_out(run: t.Callable[[Task], Result]) -> Result:
    return Operation(run).carry_out(NOTHING, Target(UNIX), check_mode=False, diff_mode=False)


def fail(error: Exception) -> t.Callable[[Task], Result]:
    def run(task: Task) -> Result:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "name"), [(AgentSilent("why"), "agent_silent"), (CommandDisabled("why"), "command_disabled")]
)
def test_error_is_a_failure_with_a_name(error: QgaError, name: str) -> None:
    assert carry_out(fail(error)) == {"failed": True, "changed": False, "msg": "why", "error": name}


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_nothing_runs_with_a_timeout_that_is_not_positive(timeout: float) -> None:
    def run(task: Task) -> Result:
        raise AssertionError

    params = {**NOTHING, "timeout": timeout}
    result = Operation(run).carry_out(params, Target(UNIX), check_mode=False, diff_mode=False)
    assert result["error"] == "invalid_request"
    assert result["msg"] == f"timeout is {timeout:g}: it has to be a number of seconds greater than 0"


def test_nothing_runs_if_replies_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_import() -> t.NoReturn:
        raise LibraryMissing("Python's jsonschema is needed")

    def run(task: Task) -> Result:
        done.append(task)
        return {}

    done: list[Task] = []
    monkeypatch.setattr(validation, "require_jsonschema", fail_to_import)
    assert carry_out(run)["error"] == "library_missing" and not done
    unchecked = Operation(run, validate_replies=lambda params: False)
    unchecked.carry_out(NOTHING, Target(UNIX), check_mode=False, diff_mode=False)
    assert done


def test_failed_task_keeps_its_results() -> None:
    assert carry_out(fail(TaskFailed("why", changed=True, rc=3))) == {
        "failed": True,
        "changed": True,
        "msg": "why",
        "rc": 3,
    }


def test_unreadable_file_is_a_failure() -> None:
    result = carry_out(fail(FileNotFoundError(2, "No such file", "/nothing")))
    assert result["failed"] and result["error"] == "os_error" and "/nothing" in result["msg"]


def test_warnings_are_part_of_the_result() -> None:
    def run(task: Task) -> Result:
        task.warnings.append("mind the gap")
        return {}

    assert carry_out(run) == {"changed": False, "warnings": ["mind the gap"]}


def test_warnings_are_part_of_a_failure() -> None:
    def run(task: Task) -> Result:
        task.warnings.append("mind the gap")
        raise AgentSilent("why")

    assert carry_out(run)["warnings"] == ["mind the gap"]


def test_diff_is_returned_in_diff_mode() -> None:
    def run(task: Task) -> Result:
        return task.changed("off", "on")

    assert carry_out(run) == {"changed": True}
    result = Operation(run).carry_out(NOTHING, Target(UNIX), check_mode=False, diff_mode=True)
    assert result == {"changed": True, "diff": {"before": "off", "after": "on"}}
