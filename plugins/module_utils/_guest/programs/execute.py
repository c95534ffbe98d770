# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one program for a task: check its conditions first, and shape the task's result."""

from __future__ import annotations

import base64
import contextlib
import datetime
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.option_checks import check_positive
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.invocation import Invocation
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError, TaskFailed, error_name

# The commands that it takes to run a program and to follow it to its end.
_COMMANDS = ("guest-exec", "guest-exec-status", "guest-file-open", "guest-file-read", "guest-file-close")

_WOULD_RUN = "The program would have been run"


def execute(
    agent: Agent,
    target: Target,
    invocation: Invocation,
    *,
    cmd: str | list[str],
    stdin: bytes,
    exec_timeout: float,
    check_mode: bool,
) -> dict[str, t.Any]:
    """Run a program unless its conditions forbid it, and return the task's result.

    :param target: the target of the agent, for the time that checking the conditions may take.
    :param cmd: the program as the user gave it, for the result.
    :param stdin: the program's standard input.
    :param exec_timeout: how many seconds the program may take.
    :param check_mode: whether to run nothing but the check of the conditions.
    :raises InvalidRequest: ``exec_timeout`` is not a positive number.
    :raises TaskFailed: the program failed; or it was started, and Ansible could not follow it to its end.
    """
    check_positive("exec_timeout", exec_timeout)
    result: dict[str, t.Any] = {"cmd": cmd, "rc": 0, **_output(b"", b"")}
    if check_mode and not invocation.is_conditional:
        return {**result, "skipped": True, "msg": _WOULD_RUN}
    # If the agent lacked one of these, a started program would be left alone in the guest.
    agent.require_commands(*_COMMANDS, deadline=target.deadline())
    with contextlib.closing(ProgramRunner(agent, Files(agent))) as runner:
        reason = invocation.reason_to_skip(runner, target.overall_deadline())
        if reason:
            return {**result, "msg": f"The program was not run, since {reason}"}
        if check_mode:
            return {**result, "changed": True, "msg": _WOULD_RUN}
        start = datetime.datetime.now()
        completed = _run(invocation, runner, stdin, Deadline.after(exec_timeout), cmd)
        end = datetime.datetime.now()
    result.update(_output(completed.stdout, completed.stderr))
    result.update(changed=True, rc=completed.rc, start=str(start), end=str(end), delta=str(end - start))
    if completed.rc:
        message = f"{agent.endpoint}: the program ended with the exit status {completed.rc}"
        raise TaskFailed(message, error="program_failed", **result)
    return result


def _run(
    invocation: Invocation, runner: ProgramRunner, stdin: bytes, deadline: Deadline, cmd: str | list[str]
) -> CompletedProcess:
    try:
        return invocation.run(runner, stdin, deadline)
    except QgaError as exc:
        if not runner.may_have_run:
            raise
        known = {} if runner.rc is None else {"rc": runner.rc}
        raise TaskFailed(str(exc), error=error_name(exc), changed=True, cmd=cmd, **known) from exc


def _output(stdout: bytes, stderr: bytes) -> dict[str, t.Any]:
    """Return both streams as text and as lines, and also in base64 if they are not UTF-8."""
    result: dict[str, t.Any] = {}
    for name, data in (("stdout", stdout), ("stderr", stderr)):
        text = data.decode("utf-8", errors="replace").rstrip("\r\n")
        result[name] = text
        result[f"{name}_lines"] = text.splitlines()
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            result[f"{name}_base64"] = base64.b64encode(data).decode("ascii")
    return result
