# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A freeze from its beginning to its end: with a record of it on this host, and a guard if one is wanted."""

from __future__ import annotations

import contextlib
import secrets
import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import (
    FREEZE_TIMEOUT,
    FROZEN,
    THAW_TIMEOUT,
    THAWED,
    Filesystems,
    FreezeUnresolved,
    Thaw,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_config import GuardConfig
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_process import GuardProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import (
    MODULE,
    OTHERS,
    FreezeRecord,
    RecordFile,
    freeze_lock,
)
from ansible_collections.netless.qga.plugins.module_utils._local.signals import DeferredSignals, Interrupted
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    EndpointUnavailable,
    InvalidRequest,
    QgaError,
    TaskFailed,
)


@dataclass(frozen=True)
class ThawResult:
    """How a freeze ended.

    :param record: of the freeze, before it ended; None if there is none.
    :param thaw: that ended it; None if the guest had been thawed before.
    :param thawed_by: who did that, as far as is known: nothing if no freeze is known that was ended.
    :param status: of the guest now. It is frozen if somebody has frozen it anew.
    """

    record: FreezeRecord | None
    thaw: Thaw | None
    thawed_by: str = ""
    status: str = THAWED

    @property
    def counts_differ(self) -> bool:
        """Whether more or fewer filesystems were thawed than had been frozen, if both are known."""
        if self.record is None or self.thaw is None:
            return False
        return None not in (self.record.count, self.thaw.count) and self.record.count != self.thaw.count

    @property
    def consistent(self) -> bool | None:
        """Whether the guest was frozen from the freeze until the thaw, without doubts; None if no freeze is known."""
        if self.thawed_by:
            return False
        if self.thaw is None or (self.record is None and not self.thaw.error):
            return None
        return not (self.thaw.error or self.counts_differ)


class GuestFreeze:
    """The freeze of one guest.

    :param agent: of the guest.
    :param way: to the agent.
    :param interruptions: notes the signals that must not end this process while it freezes or thaws.
    :param warn: takes what the user should know besides.
    """

    def __init__(
        self, agent: Agent, target: Target, deferred_signals: DeferredSignals, warn: t.Callable[[str], None]
    ) -> None:
        self._target = target
        self._endpoint = agent.endpoint
        self._deferred_signals = deferred_signals
        self._warn = warn
        self._filesystems = Filesystems(agent, target)
        self._file = RecordFile(self._endpoint)
        self._guard: GuardProcess | None = None
        self._own_record: FreezeRecord | None = None

    def status(self) -> str:
        """See :meth:`Filesystems.status`."""
        return self._filesystems.status()

    def _status_to_thaw(self) -> str:
        """The same, before a thaw. If a freeze is known that has to be ended, it is worth asking again and again."""
        record = self._current_record()
        if record is None or record.thawed_by:
            return self.status()
        return self._filesystems.status_in_time(self._target.deadline(THAW_TIMEOUT))

    def record(self) -> FreezeRecord | None:
        """The record of the freeze there is, or was last."""
        return self._file.read()

    def freeze(
        self, mountpoints: t.Sequence[str], *, max_frozen: float | None, is_attached: bool = False
    ) -> FreezeRecord | None:
        """Freeze, unless it is frozen.

        :param mountpoints: what to freeze; none are all.
        :param max_frozen: seconds after which a guard thaws. None: there is no guard.
        :param is_attached: whether this process stays, to :meth:`thaw` it. The guard thaws at once if it ends without.
        :returns: the record of the freeze. None if it was frozen before.
        :raises TaskFailed: it is not frozen, or that is not known.
        :raises QgaError: likewise.
        """
        with contextlib.ExitStack() as stack:
            try:
                # Until it is sent there is nothing to finish.
                with self._deferred_signals.raising():
                    stack.enter_context(self._lock(self._target.deadline(FREEZE_TIMEOUT)))
                    if self._filesystems.status() == FROZEN:
                        return None
            except Interrupted as exc:
                raise TaskFailed(f"{self._endpoint}: {exc} came before it was frozen", error="interrupted") from exc
            token = secrets.token_hex(16)
            if max_frozen is not None:
                self._guard = GuardProcess.start(GuardConfig(token, max_frozen, self._target))
            try:
                return self._freeze_and_record(FreezeRecord(token, tuple(mountpoints)), max_frozen, is_attached)
            except FreezeUnresolved:
                raise
            except (TaskFailed, QgaError):
                # Nothing is frozen.
                self._cancel_guard()
                raise
            finally:
                if self._guard is not None and not is_attached:
                    self._guard.close()

    def _freeze_and_record(self, record: FreezeRecord, max_frozen: float | None, is_attached: bool) -> FreezeRecord:
        guard = self._guard
        record = replace(record, frozen_at=time.time(), guard=guard.pid if guard else 0)
        self._file.write(record)
        try:
            count = self._filesystems.freeze(record.mountpoints)
            thaws_at = 0.0 if max_frozen is None else time.time() + max_frozen
            record = replace(record, frozen_at=time.time(), thaws_at=thaws_at, count=count)
            if self._deferred_signals.noted is not None:
                self._undo()
                raise TaskFailed(
                    f"{self._endpoint}: {self._deferred_signals.name} came while it was being frozen; "
                    f"it was thawed again",
                    error="interrupted",
                    status=THAWED,
                )
            if count == 0:
                self._require_something_frozen(record)
        except FreezeUnresolved:
            raise
        except (TaskFailed, QgaError):
            self._note(replace(record, thawed_by=MODULE))
            raise
        self._own_record = record
        self._note(record)
        if guard is not None and not (guard.attach() if is_attached else guard.detach()):
            self._warn("The guard that was to thaw when the time is up has ended before it could.")
        return record

    def _require_something_frozen(self, record: FreezeRecord) -> None:
        if not record.mountpoints and self._filesystems.status() == FROZEN:
            return
        self._undo()
        has_waiters = f"of {', '.join(record.mountpoints)} " if record.mountpoints else ""
        hint = (
            "They have to be mountpoints of filesystems that can be frozen, spelled as guest-get-fsinfo tells them"
            if record.mountpoints
            else "It has no filesystem that can be frozen"
        )
        raise TaskFailed(
            f"{self._endpoint}: none {has_waiters}was frozen. {hint}", error="nothing_frozen", status=THAWED
        )

    def _undo(self) -> None:
        """Thaw what we have just frozen."""
        try:
            if self._filesystems.status() == FROZEN:
                self._filesystems.thaw()
        except (QgaError, TaskFailed) as exc:
            raise FreezeUnresolved(str(exc), error="still_frozen", status="unknown") from exc

    def thaw(self) -> ThawResult:
        """Thaw, unless it is thawed, and tell how the freeze ended.

        :raises TaskFailed: it is still frozen, or that is not known. If there is a guard, it goes on trying.
        :raises QgaError: likewise.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(EndpointUnavailable):
                # A directory that is gone shall keep no guest frozen.
                stack.enter_context(self._lock(self._target.deadline(THAW_TIMEOUT)))
            status = self._status_to_thaw()
            record = self._current_record()
            if (
                status == FROZEN
                and self._own_record is not None
                and record is not None
                and record.token != self._own_record.token
            ):
                # Ours has ended, and this one is not ours to end.
                self._cancel_guard()
                return ThawResult(self._own_record, None, OTHERS, status=FROZEN)
            if status == THAWED:
                ending = ThawResult(record, None, thawed_before(record))
            else:
                is_known = record is not None and not record.thawed_by and record.count is not None
                ending = ThawResult(record if is_known else None, self._filesystems.thaw())
            if record is not None and record.thawed_by != MODULE:
                self._note(replace(record, thawed_by=MODULE))
            self._cancel_guard()
            return ending

    def _current_record(self) -> FreezeRecord | None:
        """The record on this host, unless what this process knows is the same and more."""
        record, begun = self._file.read(), self._own_record
        return begun if begun and (record is None or (record.token == begun.token and not record.thawed_by)) else record

    def release(self) -> None:
        """Leave the rest to the guard, if there is one."""
        if self._guard is not None:
            self._guard.close()

    def _cancel_guard(self) -> None:
        if self._guard is not None:
            self._guard.cancel()

    def _note(self, record: FreezeRecord) -> None:
        # What is frozen or thawed is so without a record.
        with contextlib.suppress(OSError, EndpointUnavailable):
            self._file.write(record)

    @contextlib.contextmanager
    def _lock(self, deadline: Deadline) -> t.Iterator[None]:
        fair_lock = freeze_lock(self._endpoint)
        fair_lock.acquire(deadline)
        try:
            yield
        finally:
            fair_lock.release()


def validate_options(mountpoints: t.Sequence[str] | None, max_frozen: float | None) -> None:
    """Raise an error for options of a freeze that make no sense.

    :param mountpoints: the filesystems to freeze, if the user named any.
    :param max_frozen: seconds that the freeze may last, if the user limited it.
    :raises InvalidRequest: nothing can be frozen like that.
    """
    if mountpoints is not None and not all(mountpoints or [""]):
        raise InvalidRequest("mountpoints is empty or has an empty item. To freeze all filesystems, leave it out")
    if max_frozen is not None and not max_frozen > 0:
        raise InvalidRequest("max_frozen has to be more than 0 seconds")


def thawed_before(record: FreezeRecord | None) -> str:
    """Who thawed a guest that is thawed, if a freeze is known that we did not end; nothing otherwise."""
    if record is None or record.thawed_by == MODULE:
        return ""
    # Without a count it is not known whether it has ever been frozen.
    return record.thawed_by or ("" if record.count is None else OTHERS)
