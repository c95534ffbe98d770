# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules are made of."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent import target as target_module
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
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
DOMAIN = Address("libvirt:io.netless.agent.0", "web1", "qemu:///system")


@pytest.mark.parametrize(
    ("connection", "options", "expected"),
    [
        (Address(), {}, Address("libvirt", "", "qemu:///system")),
        (UNIX, {}, UNIX),
        (UNIX, {"endpoint": "tcp:[::1]:4444"}, Address("tcp:[::1]:4444", "web1", "qemu:///system")),
        (UNIX, {"domain": "web2"}, Address("libvirt", "web2", "qemu:///system")),
        (UNIX, {"domain": "web2", "endpoint": "unix:/x"}, Address("unix:/x", "web2", "qemu:///system")),
        (DOMAIN, {"domain": "web2"}, Address("libvirt:io.netless.agent.0", "web2", "qemu:///system")),
        (DOMAIN, {"uri": "qemu+ssh://hv/system"}, Address(DOMAIN.endpoint, "web1", "qemu+ssh://hv/system")),
    ],
)
def test_options_win_over_the_connection(connection: Address, options: dict[str, str], expected: Address) -> None:
    assert Target(connection).with_options({**NOTHING, **options}).address == expected


def test_the_usual_time_is_what_a_command_takes() -> None:
    assert 29 < Target(UNIX).deadline().remaining() <= 30
    assert 599 < Target(UNIX).deadline(600).remaining() <= 600
    assert 599 < Target(UNIX, reply_timeout=600).deadline(60).remaining() <= 600


def test_a_timeout_that_is_given_holds_for_all() -> None:
    target = Target(UNIX).with_options({**NOTHING, "timeout": 5.0})
    assert target.connect_timeout == 5.0
    assert 4 < target.deadline(600).remaining() <= 5


def test_a_timeout_for_each_answer_does_not_limit_all_of_them() -> None:
    target = Target(UNIX).with_options({**NOTHING, "timeout": 5.0})
    assert 29 < target.overall_deadline().remaining() <= 30
    # One of them is for reaching the agent.
    assert 54 < target.overall_deadline(10).remaining() <= 55
    assert 909 < Target(UNIX, connect_timeout=10, reply_timeout=300).overall_deadline(3).remaining() <= 910


def test_the_connections_chunk_is_used() -> None:
    assert Target(UNIX, chunk=4096).with_options(NOTHING).agent().chunk == 4096


def carry_out(run: t.Callable[[Task], Result]) -> Result:
    return Operation(run).carry_out(NOTHING, Target(UNIX), check_mode=False, diff_mode=False)


def fail(error: Exception) -> t.Callable[[Task], Result]:
    def run(task: Task) -> Result:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "name"), [(AgentSilent("why"), "agent_silent"), (CommandDisabled("why"), "command_disabled")]
)
def test_errors_are_failures_with_a_name(error: QgaError, name: str) -> None:
    assert carry_out(fail(error)) == {"failed": True, "changed": False, "msg": "why", "error": name}


def test_nothing_is_done_whose_answer_could_not_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_import() -> t.NoReturn:
        raise LibraryMissing("Python's jsonschema is needed")

    def run(task: Task) -> Result:
        done.append(task)
        return {}

    done: list[Task] = []
    monkeypatch.setattr(target_module, "require_jsonschema", fail_to_import)
    assert carry_out(run)["error"] == "library_missing" and not done
    unchecked = Operation(run, validate_replies=lambda params: False)
    unchecked.carry_out(NOTHING, Target(UNIX), check_mode=False, diff_mode=False)
    assert done


def test_failures_have_results() -> None:
    assert carry_out(fail(TaskFailed("why", changed=True, rc=3))) == {
        "failed": True,
        "changed": True,
        "msg": "why",
        "rc": 3,
    }


def test_files_that_cannot_be_read_are_failures() -> None:
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


def test_differences_are_told_if_wanted() -> None:
    def run(task: Task) -> Result:
        return task.changed("off", "on")

    assert carry_out(run) == {"changed": True}
    told = Operation(run).carry_out(NOTHING, Target(UNIX), check_mode=False, diff_mode=True)
    assert told == {"changed": True, "diff": {"before": "off", "after": "on"}}
