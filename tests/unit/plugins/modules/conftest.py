# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules, run on agents that a test has set up."""

from __future__ import annotations

import contextlib
import importlib
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.netless.qga.plugins.module_utils.endpoint import Address
from ansible_collections.netless.qga.plugins.module_utils.operation import Operation, Way
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

MODULES = "ansible_collections.netless.qga.plugins.modules"


def operation_of(module: str) -> Operation:
    """What a module does."""
    return t.cast(Operation, importlib.import_module(f"{MODULES}.{module}").OPERATION)


class RunModule(t.Protocol):
    """Runs a module on an agent; returns its result.

    :param agent: a scripted agent, or an endpoint.
    :param options: the module's own.
    """

    def __call__(
        self,
        module: str,
        agent: ScriptedAgent | str,
        *,
        check_mode: bool = False,
        diff_mode: bool = True,
        **options: t.Any,
    ) -> dict[str, t.Any]: ...


@pytest.fixture
def run_module() -> t.Iterator[RunModule]:
    """Runs modules on agents that listen until the test is over."""
    with contextlib.ExitStack() as stack:
        endpoints: dict[int, str] = {}

        def run(
            module: str,
            agent: ScriptedAgent | str,
            *,
            check_mode: bool = False,
            diff_mode: bool = True,
            **options: t.Any,
        ) -> dict[str, t.Any]:
            if isinstance(agent, str):
                endpoint = agent
            else:
                if id(agent) not in endpoints:
                    endpoints[id(agent)] = f"unix:{stack.enter_context(agent.listening())}"
                endpoint = endpoints[id(agent)]
            operation = operation_of(module)
            validated = ArgumentSpecValidator(operation.argument_spec, **operation.constraints).validate(options)
            assert not validated.error_messages, validated.error_messages
            return operation.carry_out(
                validated.validated_parameters,
                Way(Address(endpoint), connect_timeout=2.0, reply_timeout=2.0),
                check_mode=check_mode,
                diff_mode=diff_mode,
            )

        yield run
