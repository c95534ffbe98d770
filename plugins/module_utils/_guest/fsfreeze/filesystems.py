# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Freezing and thawing a guest's filesystems, and finding out the status when an answer is lost."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.advice import THAW_WITH
from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    LOST_ANSWER,
    AgentRefused,
    CommandUnavailable,
    FilesystemsFrozen,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    TaskFailed,
    Unreachable,
    excerpt,
)

FROZEN, THAWED = "frozen", "thawed"

#: Seconds that a freeze may take. A guest that first has much to write to its disks takes minutes, and so do hooks that
#: wait for a database. Giving up earlier does not end the freeze. Windows gives up by itself after one minute.
FREEZE_TIMEOUT = 600.0
#: Seconds that a thaw may take: an idle Windows guest was observed to take one minute.
THAW_TIMEOUT = 180.0
# Seconds to find out the status after the answer to a freeze was lost.
_RESOLVE_TIMEOUT = 60.0
# Seconds between two attempts; the delay grows from the minimum to the maximum.
_MIN_DELAY, _MAX_DELAY = 0.2, 5.0

_HOW_TO_THAW = (
    f"The guest may be frozen, and its programs then wait until it is thawed. Thaw it as soon as its agent answers, "
    f"{THAW_WITH}"
)


class FreezeUnresolved(TaskFailed):
    """A freeze whose outcome is not known: the guest may be frozen."""


@dataclass(frozen=True)
class Thaw:
    """One thaw that succeeded, as the agent reported it.

    :param count: how many filesystems were thawed, None if that is not known.
    :param error: the agent's error, if it reported one although it has thawed.
    """

    count: int | None
    error: str = ""


class Filesystems:
    """The filesystems of a guest, as its agent freezes and thaws them.

    :param agent: the guest's agent.
    :param target: where the agent is, and how long to wait for it.
    """

    def __init__(self, agent: Agent, target: Target) -> None:
        self._agent = agent
        self._target = target

    def status(self) -> str:
        """Return :data:`FROZEN` or :data:`THAWED`. The agent knows only of freezes that it carried out itself."""
        return self._ask(self._target.deadline())

    def status_in_time(self, deadline: Deadline) -> str:
        """Return the same as :meth:`status`; ask an agent that does not answer again until the deadline."""
        delay = _MIN_DELAY
        while True:
            try:
                return self._ask(deadline)
            except (OutcomeUnknown, Unreachable):
                # The next attempt has to have time for an answer.
                if deadline.remaining() <= 2 * delay:
                    raise
            self._agent.close()
            deadline.sleep(delay)
            delay = min(_MAX_DELAY, delay * 2)

    def freeze(self, mountpoints: t.Sequence[str]) -> int:
        """Freeze the filesystems. They have to be thawed.

        :param mountpoints: the filesystems to freeze, as guest-get-fsinfo reports them; an empty sequence means all.
        :returns: how many were frozen.
        :raises FreezeUnresolved: the answer is lost, and the agent does not report the status either.
        :raises TaskFailed: the answer is lost, and the guest is thawed: it was never frozen, or was thawed again.
        :raises QgaError: the guest is not frozen.
        """
        deadline = self._target.deadline(FREEZE_TIMEOUT)
        arguments = {"mountpoints": list(mountpoints)} if mountpoints else {}
        command = "guest-fsfreeze-freeze-list" if mountpoints else "guest-fsfreeze-freeze"
        try:
            return self._agent.reader(command).typed(self._agent.call(command, arguments, deadline=deadline), int)
        except LOST_ANSWER as exc:
            raise self._resolve(exc, deadline) from exc
        except AgentRefused as exc:
            if not _was_not_attempted(exc):
                self._thaw_leftovers(exc)
            raise

    def thaw(self) -> Thaw:
        """Thaw all filesystems. Repeat it until it succeeds or the time is up, since a thaw may be repeated safely.

        :raises TaskFailed: they are still frozen.
        :raises QgaError: they are still frozen, or their status is not known.
        """
        deadline = self._target.deadline(THAW_TIMEOUT)
        command, is_certain, delay = "guest-fsfreeze-thaw", True, _MIN_DELAY
        while True:
            count: int | None = None
            problem: QgaError | None = None
            try:
                reply = self._agent.call(command, deadline=deadline)
                count = self._agent.reader(command).typed(reply, int)
            except QgaError as exc:
                problem = exc
                # If an answer is lost, the next attempt does not count what this one thawed.
                is_certain = is_certain and isinstance(exc, (AgentRefused, Unreachable))
            # The agent reports an error although it has thawed if a hook fails, or on Windows after its ten seconds.
            status = self._status_or(None if problem else THAWED, deadline)
            if status == THAWED:
                error = problem.desc or problem.error_class if isinstance(problem, AgentRefused) else ""
                return Thaw(count if is_certain else None, excerpt(error))
            # The next attempt has to have time for an answer.
            if deadline.remaining() <= 2 * delay or isinstance(problem, CommandUnavailable):
                raise self._not_thawed(problem, status)
            self._agent.pause(delay, deadline)
            delay = min(_MAX_DELAY, delay * 2)

    def _ask(self, deadline: Deadline) -> str:
        command = "guest-fsfreeze-status"
        reply = self._agent.call(command, deadline=deadline, repeatable=True)
        status = self._agent.reader(command).typed(reply, str)
        if status not in (FROZEN, THAWED):
            raise ProtocolViolation(f"{self._agent.endpoint}: {command} returned neither {FROZEN} nor {THAWED}")
        return status

    def _status_or(self, default: str | None, deadline: Deadline) -> str | None:
        try:
            return self._ask(max(deadline, self._target.deadline()))
        except QgaError:
            return default

    def _resolve(self, lost: QgaError, deadline: Deadline) -> TaskFailed:
        """Return the error to raise after the answer to a freeze was lost; if the guest was frozen, thaw it."""
        reason = "protocol_violation" if isinstance(lost, ProtocolViolation) else "outcome_unknown"
        try:
            # Even if the user's timeout is shorter: nobody else would know that the guest is frozen.
            status = self.status_in_time(max(deadline, Deadline.after(_RESOLVE_TIMEOUT)))
        except QgaError as exc:
            return FreezeUnresolved(
                f"{lost}. The agent does not report the guest's status either: {exc}. {_HOW_TO_THAW}",
                error=reason,
                status="unknown",
                thawed_again=False,
            )
        if status == THAWED:
            return TaskFailed(f"{lost}. The guest is not frozen", error=reason, status=THAWED, thawed_again=False)
        try:
            self.thaw()
        except (QgaError, TaskFailed) as exc:
            return FreezeUnresolved(
                f"{lost}. The guest was frozen nevertheless, and could not be thawed again: {exc}. {_HOW_TO_THAW}",
                error=reason,
                status=FROZEN,
                thawed_again=False,
            )
        return TaskFailed(
            f"{lost}. The guest was frozen nevertheless, and has been thawed again",
            error=reason,
            status=THAWED,
            thawed_again=True,
        )

    def _thaw_leftovers(self, refused: AgentRefused) -> None:
        try:
            if self.status() == FROZEN:
                self.thaw()
        except (QgaError, TaskFailed) as exc:
            raise FreezeUnresolved(
                f"{refused}. It is not known whether filesystems are frozen: {exc}. {_HOW_TO_THAW}",
                error="agent_refused",
                status="unknown",
                thawed_again=False,
            ) from exc

    def _not_thawed(self, problem: QgaError | None, status: str | None) -> Exception:
        if problem is None:
            return TaskFailed(
                f"{self._agent.endpoint}: the agent reports that it has thawed the filesystems, but also that they are "
                f"still frozen",
                error="still_frozen",
                status=FROZEN,
            )
        is_frozen = (
            "The guest is still frozen" if status == FROZEN else "It is not known whether the guest is still frozen"
        )
        return type(problem)(f"{problem}. {is_frozen}. {_HOW_TO_THAW}")


def _was_not_attempted(exc: AgentRefused) -> bool:
    """Return whether the agent refused to freeze at all: then whatever is frozen, somebody else has frozen.

    After an error during a freeze, the agent itself thaws what it has frozen. Through libvirt that error looks the same
    as the refusal of an agent that is frozen already, and a freeze by somebody else must not be ended.
    """
    if exc.error_class:
        return exc.error_class == "CommandNotFound"
    return isinstance(exc, FilesystemsFrozen)
