# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules over a host's own connection reach the agent that the connection reaches."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest
from ansible.playbook.task import Task

from ansible_collections.netless.qga.plugins.action.sync import ActionModule
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation


def test_operation_gets_the_target_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[Target] = []

    def carry_out(operation: Operation, params: t.Any, target: Target, **modes: bool) -> dict[str, t.Any]:
        targets.append(target)
        return {"changed": False}

    monkeypatch.setattr(Operation, "carry_out", carry_out)
    target = Target(Address("unix:/run/vms/web1.sock", "web1", "qemu:///session"), 5.0, 50.0, chunk=4096)
    shell = SimpleNamespace(tmpdir="/unused")
    connection: t.Any = SimpleNamespace(transport="netless.qga.guest_agent", target=target, _shell=shell)
    task = Task.load({"action": "netless.qga.sync"})
    nothing: t.Any = None
    plugin = ActionModule(task, connection, nothing, nothing, nothing)
    monkeypatch.setattr(plugin, "validate_argument_spec", lambda spec, **constraints: (None, {}))
    assert plugin.run() == {"changed": False}
    assert targets == [target]
