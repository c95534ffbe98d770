# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Freezing and thawing a guest's filesystems, and finding out what has become of it when an answer is lost."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.advice import THAW_WITH
from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.reply import typed
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
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

#: Seconds that a freeze may take. A guest that has much to write to its disks first, or hooks that wait for a database,
#: take minutes, and giving up earlier does not end it. Windows gives up by itself after one minute.
FREEZE_TIMEOUT = 600.0
#: Seconds that a thaw may take: an idle Windows has been seen to take one minute.
THAW_TIMEOUT = 180.0
# Seconds to find out what has become of a freeze whose answer is lost.
_RESOLVE_TIMEOUT = 60.0
# Between two attempts, in seconds; the pauses grow from the one to the other.
_MIN_PAUSE, _MAX_PAUSE = 0.2, 5.0

_HOW_TO_THAW = (
    f"The guest may be frozen, and its programs then wait until it is thawed. Thaw it as soon as its agent answers: "
    f"{THAW_WITH}"
)


class FreezeUnresolved(TaskFailed):
    """Whether the guest is frozen is not known."""


@dataclass(frozen=True)
class Thaw:
    """A guest that was thawed.

    :param count: how many filesystems were thawed, None if that is not known.
    :param error: what the agent said if it called it an error, though it has thawed.
    """

    count: int | None
    error: str = ""


class Filesystems:
    """The filesystems of a guest, as its agent freezes them.

    :param agent: the agent.
    :param way: to the agent; tells how patient to be.
    """

    def __init__(self, agent: Agent, target: Target) -> None:
        self._agent = agent
        self._target = target

    def status(self) -> str:
        """Whether they are :data:`FROZEN` or :data:`THAWED`, for all that this agent knows: not by other means."""
        return self._ask(self._target.deadline())

    def status_in_time(self, deadline: Deadline) -> str:
        """See :meth:`status`; an agent that does not answer is asked again until the deadline."""
        pause = _MIN_PAUSE
        while True:
            try:
                return self._ask(deadline)
            except (OutcomeUnknown, Unreachable):
                # The next attempt shall have time for an answer.
                if deadline.remaining() <= 2 * pause:
                    raise
            self._agent.close()
            deadline.sleep(pause)
            pause = min(_MAX_PAUSE, pause * 2)

    def freeze(self, mountpoints: t.Sequence[str]) -> int:
        """Freeze them. They have to be thawed.

        :param mountpoints: only these, as guest-get-fsinfo tells them; none are all.
        :returns: how many were frozen.
        :raises FreezeUnresolved: the answer is lost, and the agent cannot be asked what has become of it.
        :raises TaskFailed: the answer is lost, and nothing is frozen: not any more, or not at all.
        :raises QgaError: nothing is frozen.
        """
        deadline = self._target.deadline(FREEZE_TIMEOUT)
        arguments = {"mountpoints": list(mountpoints)} if mountpoints else {}
        command = "guest-fsfreeze-freeze-list" if mountpoints else "guest-fsfreeze-freeze"
        try:
            return typed(self._agent.call(command, arguments, deadline=deadline), int, command)
        except (OutcomeUnknown, ProtocolViolation) as exc:
            raise self._resolve(exc, deadline) from exc
        except AgentRefused as exc:
            if not _was_not_begun(exc):
                self._thaw_what_is_left(exc)
            raise

    def thaw(self) -> Thaw:
        """Thaw all of them. This may be done again and again, so it is until it has succeeded or the time is over.

        :raises TaskFailed: they are still frozen.
        :raises QgaError: likewise, or that is not known.
        """
        deadline = self._target.deadline(THAW_TIMEOUT)
        certain, pause = True, _MIN_PAUSE
        while True:
            count: int | None = None
            problem: QgaError | None = None
            try:
                reply = self._agent.call("guest-fsfreeze-thaw", deadline=deadline)
                count = typed(reply, int, "guest-fsfreeze-thaw")
            except QgaError as exc:
                problem = exc
                # What an attempt thawed whose answer is lost, the next one does not count.
                certain = certain and isinstance(exc, (AgentRefused, Unreachable))
            # Hooks in the guest, and Windows after its ten seconds, make an error of a thaw that has been done.
            status = self._status_if_told(deadline, taken_for=None if problem else THAWED)
            if status == THAWED:
                said = problem.desc or problem.error_class if isinstance(problem, AgentRefused) else ""
                return Thaw(count if certain else None, excerpt(said))
            # The next attempt shall have time for an answer.
            if deadline.remaining() <= 2 * pause or isinstance(problem, CommandUnavailable):
                raise self._not_thawed(problem, status)
            self._agent.pause(pause, deadline)
            pause = min(_MAX_PAUSE, pause * 2)

    def _ask(self, deadline: Deadline) -> str:
        command = "guest-fsfreeze-status"
        status = typed(self._agent.call(command, deadline=deadline, repeatable=True), str, command)
        if status not in (FROZEN, THAWED):
            raise ProtocolViolation(f"{self._agent.endpoint}: {command}: neither {FROZEN} nor {THAWED}")
        return status

    def _status_if_told(self, deadline: Deadline, *, taken_for: str | None) -> str | None:
        try:
            return self._ask(max(deadline, self._target.deadline()))
        except QgaError:
            return taken_for

    def _resolve(self, lost: QgaError, deadline: Deadline) -> TaskFailed:
        """What to say about a freeze whose answer is lost; if it was carried out, it is ours, and undone."""
        reason = "protocol_violation" if isinstance(lost, ProtocolViolation) else "outcome_unknown"
        try:
            # Also if the user has less patience: nobody else would know of it.
            status = self.status_in_time(max(deadline, Deadline.after(_RESOLVE_TIMEOUT)))
        except QgaError as exc:
            return FreezeUnresolved(
                f"{lost}. Nor does the agent say what has become of it: {exc}. {_HOW_TO_THAW}",
                error=reason,
                status="unknown",
                thawed_again=False,
            )
        if status == THAWED:
            return TaskFailed(f"{lost}. Nothing is frozen", error=reason, status=THAWED, thawed_again=False)
        try:
            self.thaw()
        except (QgaError, TaskFailed) as exc:
            return FreezeUnresolved(
                f"{lost}. The guest was frozen all the same, and could not be thawed again: {exc}. {_HOW_TO_THAW}",
                error=reason,
                status=FROZEN,
                thawed_again=False,
            )
        return TaskFailed(
            f"{lost}. The guest was frozen all the same, and has been thawed again",
            error=reason,
            status=THAWED,
            thawed_again=True,
        )

    def _thaw_what_is_left(self, refused: AgentRefused) -> None:
        try:
            if self.status() == FROZEN:
                self.thaw()
        except (QgaError, TaskFailed) as exc:
            raise FreezeUnresolved(
                f"{refused}. Whether something is frozen is not known: {exc}. {_HOW_TO_THAW}",
                error="agent_refused",
                status="unknown",
                thawed_again=False,
            ) from exc

    def _not_thawed(self, problem: QgaError | None, status: str | None) -> Exception:
        if problem is None:
            return TaskFailed(
                f"{self._agent.endpoint}: the agent says that it has thawed the filesystems, and that they are frozen",
                error="still_frozen",
                status=FROZEN,
            )
        is_frozen = (
            "The guest is still frozen" if status == FROZEN else "Whether the guest is still frozen is not known"
        )
        return type(problem)(f"{problem}. {is_frozen}. {_HOW_TO_THAW}")


def _was_not_begun(exc: AgentRefused) -> bool:
    """Whether the agent did not carry out a freeze at all: what is frozen then, somebody else has frozen.

    After an error of its own it thaws by itself what it has frozen. Through libvirt that is not told apart from a
    command that it does not carry out as it is frozen already, and another's freeze is not to be ended.
    """
    if exc.error_class:
        return exc.error_class == "CommandNotFound"
    return isinstance(exc, FilesystemsFrozen)
