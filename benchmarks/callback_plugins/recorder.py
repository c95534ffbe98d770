# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records how long each task took, which commands it sent to the guest's agent, and that agent's processor time.

The process of the task measures itself, until the connection is closed. All connections do the same there. What Ansible
does before and after is left out.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import re
import sys
import time
import typing as t

import libvirt_qemu
from ansible.executor.task_executor import TaskExecutor
from ansible.plugins.callback import CallbackBase

from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from benchmarks import agent_processes, records

DOCUMENTATION = """
name: recorder
type: stdout
short_description: Records what tasks cost
description: Prints each play when it starts, and each task that fails.
"""

_COMMAND = re.compile(r'"execute": ?"([a-z-]+)"')

_commands: collections.Counter[str] = collections.Counter()


class CallbackModule(CallbackBase):
    """The callback that adds the play to the records, and shows the progress."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "recorder"

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = time.monotonic()
        self._failed = False

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Add what the play measures to all its records."""
        # The processes of the tasks are forked from this one.
        records.context.update(play.vars["benchmark"])
        print(f"{time.monotonic() - self._started:6.0f} s  {play.get_name()}", flush=True)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Print the result."""
        self._show(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """Print the result."""
        self._show(result)

    def _show(self, result: t.Any) -> None:
        text = json.dumps(dict(result.result), default=str)
        print(f"{result.host.get_name()} failed at '{result.task.get_name()}': {text}", file=sys.stderr, flush=True)


def _count_agent_commands() -> None:
    """Count the requests to libvirt's RPC, and those that our own framing sends."""
    libvirt_command, sync, send = libvirt_qemu.qemuAgentCommand, Session.sync, Session.send

    @functools.wraps(libvirt_command)
    def counted_command(domain: t.Any, command: str, *rest: t.Any) -> t.Any:
        _count(command[:200])
        return libvirt_command(domain, command, *rest)

    @functools.wraps(sync)
    def counted_sync(self: Session) -> bytes:
        data = sync(self)
        _count(data[:200].decode("latin-1"))
        return data

    @functools.wraps(send)
    def counted_send(self: Session, request: t.Any) -> bytes:
        _count(request.data[:200].decode("latin-1"))
        return send(self, request)

    libvirt_qemu.qemuAgentCommand = counted_command
    for name, counted in (("sync", counted_sync), ("send", counted_send)):
        setattr(Session, name, counted)


def _count(text: str) -> None:
    found = _COMMAND.search(text)
    _commands[found[1] if found else "?"] += 1


def _time_tasks() -> None:
    run = TaskExecutor.run

    @functools.wraps(run)
    def timed(self: t.Any) -> t.Any:
        records.context["connection"] = self._host.name
        process = agent_processes.of(self._host.name) if records.context["observed"] else None
        before = process.cpu_seconds() if process else 0.0
        _commands.clear()
        started = time.perf_counter()
        try:
            return run(self)
        finally:
            seconds = time.perf_counter() - started
            cpu = process.cpu_seconds() - before if process else None
            records.record({"task": self._task.name, "seconds": seconds, "commands": dict(_commands), "agent_cpu": cpu})

    TaskExecutor.run = timed  # type: ignore[method-assign]


if "BENCHMARK_RECORDS" in os.environ:
    _count_agent_commands()
    _time_tasks()
