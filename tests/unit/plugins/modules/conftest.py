# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures that run modules on the agents of a test."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import signal
import time
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.netless.qga.plugins.module_utils import _deadline as deadlines
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import SyncReport
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_process import is_running
from ansible_collections.netless.qga.plugins.module_utils._task.operation import Operation
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointBusy
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .diagnosed_agent import findings_by_check

MODULES = "ansible_collections.netless.qga.plugins.modules"

#: Seconds for what has to succeed, on a machine that is busy with other tests.
TEST_TIMEOUT = 30.0


def operation_of(module: str) -> Operation:
    """Return the operation of a module."""
    return t.cast(Operation, importlib.import_module(f"{MODULES}.{module}").OPERATION)


def silence_of(profile: str) -> float | None:
    """Return a short timeout for a profile that only lets the module wait; None for others."""
    return 0.2 if profile in ("foreign_ids", "never", "silence") else None


def comes(condition: t.Callable[[], bool]) -> bool:
    """Wait until a condition holds, and return whether it does."""
    end = time.monotonic() + 2 * TEST_TIMEOUT
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def gone(pid: int) -> bool:
    """Wait until a process ends, and return whether it has. In a container it may stay a zombie."""

    def is_gone() -> bool:
        try:
            return ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return True

    return comes(is_gone)


@pytest.fixture(autouse=True)
def no_guards_left(tmp_path: pathlib.Path) -> t.Iterator[None]:
    """End the guards that outlive the test: without their guest they would try for an hour."""
    yield
    for record in tmp_path.glob("netless-qga-*/*.freeze"):
        with contextlib.suppress(ValueError, KeyError):
            pid = json.loads(record.read_text(encoding="utf-8"))["guard"]
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


class Clock:
    """The clock of deadlines, which a test can put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.skips_sleep = False
        """Whether the clock leaps by at least a second where a deadline would sleep, so that long polling is quick."""

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def leap(self, seconds: float) -> None:
        self._ahead += seconds

    def sleep(self, seconds: float) -> None:
        if self.skips_sleep:
            self.leap(max(1.0, seconds))
            seconds = min(seconds, 0.002)
        time.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of all deadlines."""
    clock = Clock()
    monkeypatch.setattr(deadlines, "time", clock)
    return clock


@contextlib.contextmanager
def patient_channels(is_silent: t.Callable[[], bool]) -> t.Iterator[None]:
    """Give connecting to an agent its own time, so that a short timeout for replies works on any machine.

    :param is_silent: whether the agent answers nothing at all, so that already the sync has to time out.
    """
    # pylint: disable=protected-access  # only these methods distinguish connecting from waiting for a reply
    original_open, original_sync = StreamChannel._open, StreamChannel._sync

    def open_patiently(channel: StreamChannel, deadline: Deadline) -> None:
        patience = Deadline.after(TEST_TIMEOUT)
        original_open(channel, patience)
        # Before the connection is accepted, silence would mean that another client holds the socket.
        while isinstance(channel._connected().no_reply_error(), EndpointBusy) and not patience.passed:
            time.sleep(0.001)

    def sync_patiently(channel: StreamChannel, deadline: Deadline) -> SyncReport:
        return original_sync(channel, deadline if is_silent() else Deadline.after(TEST_TIMEOUT))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamChannel, "_open", open_patiently)
        patch.setattr(StreamChannel, "_sync", sync_patiently)
        yield


class RunModule(t.Protocol):
    """Runs a module on an agent, and returns its result.

    :param agent: a scripted agent, or an endpoint.
    :param silence: seconds to wait for a reply, as the option timeout, but not for connecting.
    :param options: the module's own options.
    """

    def __call__(
        self,
        module: str,
        agent: ScriptedAgent | str,
        *,
        check_mode: bool = False,
        diff_mode: bool = True,
        silence: float | None = None,
        **options: t.Any,
    ) -> dict[str, t.Any]: ...


@pytest.fixture
def run_module() -> t.Iterator[RunModule]:
    """Run modules on agents that listen until the test is over."""
    with contextlib.ExitStack() as stack:
        endpoints: dict[int, str] = {}

        def run(
            module: str,
            agent: ScriptedAgent | str,
            *,
            check_mode: bool = False,
            diff_mode: bool = True,
            silence: float | None = None,
            **options: t.Any,
        ) -> dict[str, t.Any]:
            if isinstance(agent, str):
                endpoint = agent
            else:
                if id(agent) not in endpoints:
                    endpoints[id(agent)] = f"unix:{stack.enter_context(agent.listening())}"
                endpoint = endpoints[id(agent)]
            operation = operation_of(module)
            if silence is not None:
                options["timeout"] = silence
            validated = ArgumentSpecValidator(operation.argument_spec, **operation.constraints).validate(options)
            assert not validated.error_messages, validated.error_messages
            with contextlib.ExitStack() as patches:
                if silence is not None:
                    patches.enter_context(patient_channels(lambda: isinstance(agent, ScriptedAgent) and agent.silent))
                return operation.carry_out(
                    validated.validated_parameters,
                    Target(Address(endpoint), connect_timeout=TEST_TIMEOUT, reply_timeout=TEST_TIMEOUT),
                    check_mode=check_mode,
                    diff_mode=diff_mode,
                )

        yield run


class Diagnose(t.Protocol):
    """Runs diagnosis_info on an agent, and returns its findings by check, and the result as ``result``."""

    def __call__(self, agent: ScriptedAgent | str, **options: t.Any) -> dict[str, t.Any]: ...


@pytest.fixture
def diagnose(run_module: RunModule) -> Diagnose:
    """Run diagnosis_info on agents."""
    return lambda agent, **options: findings_by_check(run_module("diagnosis_info", agent, **options))
