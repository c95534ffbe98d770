# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command that runs on this host while a guest's filesystems are frozen, and whether its copy is consistent."""

from __future__ import annotations

import datetime
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import FROZEN
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.freeze import GuestFreeze, ThawResult
from ansible_collections.netless.qga.plugins.module_utils._local.command import Command
from ansible_collections.netless.qga.plugins.module_utils._local.signals import DeferredSignals, Interrupted
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError, TaskFailed

# Seconds that the guard waits longer than the command may take: this process normally ends the command and thaws.
_GUARD_MARGIN = 15.0

# Seconds for which Windows (VSS) holds writes back. No option makes that longer.
_WINDOWS_HOLD_TIMEOUT = 10.0


class QuiescedCommand:
    """One command, from the freeze before it to the thaw after it.

    :param agent: the guest's agent.
    :param target: where the agent is, and how long to wait for it.
    :param argv: the command.
    :param chdir: the directory it runs in; None means that of this process.
    :param mountpoints: the filesystems to freeze; an empty sequence means all.
    :param max_frozen: seconds that the command may take.
    :param warn: is called with each warning for the user.
    """

    def __init__(
        self,
        agent: Agent,
        target: Target,
        argv: t.Sequence[str],
        *,
        chdir: str | None,
        mountpoints: t.Sequence[str],
        max_frozen: float,
        warn: t.Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._target = target
        self._warn = warn
        self._argv = argv
        self._chdir = chdir
        self._mountpoints = mountpoints
        self._max_frozen = max_frozen
        self._reasons: list[str] = []
        self._result: dict[str, t.Any] = {"changed": True, "mountpoints": list(mountpoints)}
        self._failures: list[str] = []
        self._ended_after = 0.0

    def run(self) -> dict[str, t.Any]:
        """Freeze, run the command, thaw, and return the result.

        :raises TaskFailed: something failed; the error has all results. The guest is thawed, or the guard will thaw it.
        :raises QgaError: the guest was not frozen, and the command was not run.
        """
        is_windows = _is_windows(self._agent, self._target.deadline())
        with DeferredSignals() as deferred_signals:
            freeze = GuestFreeze(self._agent, self._target, deferred_signals, self._warn)
            try:
                self._freeze(freeze)
                # Others may need the channel, the guard for one.
                self._agent.close()
                frozen_at = time.monotonic()
                try:
                    self._run_command(deferred_signals, Deadline(frozen_at + self._max_frozen))
                    self._ended_after = time.monotonic() - frozen_at
                finally:
                    self._thaw(freeze)
                    self._result["held"] = time.monotonic() - frozen_at
            finally:
                freeze.release()
        if is_windows and self._ended_after > _WINDOWS_HOLD_TIMEOUT:
            self._reasons.append("windows_limit")
        self._result["consistent"] = not self._reasons
        self._result["inconsistent_because"] = self._reasons
        if self._failures:
            raise TaskFailed(f"{self._agent.endpoint}: {'. '.join(self._failures)}", **self._result)
        return self._result

    def _freeze(self, freeze: GuestFreeze) -> None:
        record = freeze.freeze(self._mountpoints, max_frozen=self._max_frozen + _GUARD_MARGIN, is_attached=True)
        if record is None:
            raise TaskFailed(
                f"{self._agent.endpoint}: the guest is frozen already, by somebody else who may thaw it while the "
                f"command runs. End that backup first, or thaw the guest with netless.qga.fsfreeze",
                error="already_frozen",
                status=FROZEN,
            )
        self._result["frozen"] = record.count
        if record.is_partial:
            self._reasons.append("not_all_frozen")

    def _run_command(self, deferred_signals: DeferredSignals, deadline: Deadline) -> None:
        self._result["start"] = _now()
        try:
            # Start with signals deferred, so that a started command is never orphaned.
            command = Command(self._argv, chdir=self._chdir)
        except OSError as exc:
            self._fail("command_not_started", f"the command could not be started: {exc}")
            return
        try:
            with deferred_signals.raising():
                if not command.wait(deadline.remaining()):
                    self._fail("timed_out", f"the command was ended, as it took more than {self._max_frozen} seconds")
        except Interrupted as exc:
            self._fail("interrupted", f"{exc} came while the command ran, so it was ended")
        finally:
            if not command.end():
                self._failures.append("it did not end even after SIGKILL, and the guest was thawed nevertheless")
            self._result["end"] = _now()
            self._result.update(command.result())
        if self._result.get("rc") != 0 and not self._failures:
            self._fail("command_failed", f"the command failed with status {self._result['rc']}")

    def _thaw(self, freeze: GuestFreeze) -> None:
        try:
            ended = freeze.thaw()
        except (QgaError, TaskFailed) as exc:
            self._result["status"] = "unknown"
            self._fail("not_thawed", f"thawing failed, and the guard goes on trying for an hour: {exc}")
            return
        self._result["status"] = ended.status
        self._result["thawed"] = 0 if ended.thaw is None else ended.thaw.count
        self._reasons += _doubts(ended)
        if ended.thaw is not None and ended.thaw.error:
            self._warn(f"The guest was thawed, but its agent reported an error: {ended.thaw.error}")

    def _fail(self, error: str, message: str) -> None:
        self._failures.append(message)
        self._reasons.append(error)
        # An error that leaves the guest frozen matters more than the errors before it.
        if error == "not_thawed":
            self._result["error"] = error
        self._result.setdefault("error", error)


def _doubts(ended: ThawResult) -> list[str]:
    doubts = {
        "thawed_meanwhile": ended.thaw is None or ended.record is None,
        "counts_differ": ended.counts_differ,
        "thaw_error": ended.thaw is not None and ended.thaw.error != "",
    }
    return [doubt for doubt, applies in doubts.items() if applies]


def _is_windows(agent: Agent, deadline: Deadline) -> bool:
    try:
        command = "guest-get-osinfo"
        reply = agent.call(command, deadline=deadline, repeatable=True)
        return agent.reader(command).optional(reply, "id", "") == "mswindows"
    except QgaError:
        # An error that matters comes again when the agent has to freeze.
        return False


def _now() -> str:
    return datetime.datetime.now().isoformat(sep=" ")
