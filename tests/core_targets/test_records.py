# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netless.qga.tests.core_targets.records import differences


def record(**result: t.Any) -> str:
    return json.dumps({"task": "a task", "status": "ok", "result": result})


@pytest.mark.parametrize(
    ("cold", "warm", "difference"),
    [
        ({"rc": 0}, {"rc": 1}, "result.rc is 0 cold, 1 warm"),
        ({"changed": True}, {"changed": 1}, "result.changed is True cold, 1 warm"),
        ({"stdout": "a "}, {"stdout": "a"}, "result.stdout is 'a ' cold, 'a' warm"),
        ({"lines": ["a", "b"]}, {"lines": ["a", "c"]}, "result.lines[1] is 'b' cold, 'c' warm"),
        ({"lines": ["a"]}, {"lines": []}, "result.lines is ['a'] cold, [] warm"),
        ({"stat": {"mode": "0644"}}, {"stat": {}}, "result.stat.mode is '0644' cold, '(absent)' warm"),
        ({"mtime": 1.5}, {"mtime": None}, "result.mtime is 'float' cold, 'NoneType' warm"),
        ({}, {"warnings": ["x"]}, "result.warnings is '(absent)' cold, ['x'] warm"),
        (
            {"path": "/tmp/ansible.abcdefgh"},
            {"path": "/tmp/other.abcdefgh"},
            "result.path is '/tmp/ansible.NAME' cold,",
        ),
    ],
)
def test_difference_is_found(cold: dict[str, t.Any], warm: dict[str, t.Any], difference: str) -> None:
    (found,) = differences([record(**cold)], [record(**warm)])
    assert found.startswith(f"result 1, a task: {difference}")


@pytest.mark.parametrize(
    ("cold", "warm"),
    [
        ({"delta": "0:00:00.1"}, {"delta": "0:00:00.2"}),
        ({"ansible_facts": {"ansible_memfree_mb": 1}}, {"ansible_facts": {"ansible_memfree_mb": 2}}),
        (
            {"dest": "/root/.ansible/tmp/ansible-tmp-1.5-20-30/x"},
            {"dest": "/root/.ansible/tmp/ansible-tmp-2.5-21-31/x"},
        ),
        ({"path": "/tmp/ansible.abcdefgh.test"}, {"path": "/tmp/ansible.hgfedcba.test"}),
        ({"msg": "at 2026-01-01 10:00:00.5"}, {"msg": "at 2026-01-02 11:00:00.25"}),
        ({"ansible_interfaces": ["lo", "eth0"]}, {"ansible_interfaces": ["eth0", "lo"]}),
    ],
)
def test_what_differs_between_any_two_runs_is_replaced(cold: dict[str, t.Any], warm: dict[str, t.Any]) -> None:
    assert differences([record(**cold)], [record(**warm)]) == []


def test_missing_result_is_found() -> None:
    assert differences([record(), record()], [record()]) == ["2 results cold, 1 warm"]


def test_another_status_is_found() -> None:
    failed = json.dumps({"task": "a task", "status": "failed", "result": {}})
    assert differences([record()], [failed]) == ["result 1, a task: status is 'ok' cold, 'failed' warm"]
