# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A freeze from its start to its end, with a record of it on this host, and with a guard if the user wants one."""

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

# Seconds. A guard cannot wait for hundreds of years, and the time of its thaw is reported as a date.
_MAX_FROZEN = 365 * 24 * 60 * 60


@dataclass(frozen=True)
class ThawResult:
    """The end of a freeze.

    :param record: the record of the freeze before it ended; None if no record is known.
    :param thaw: the thaw that ended it; None if the guest had been thawed before.
    :param thawed_by: who had thawed the guest, as far as is known; empty if no freeze is known that somebody else
        ended.
    :param status: the guest's status now. It is frozen if somebody has frozen it again.
    """

    record: FreezeRecord | None
    thaw: Thaw | None
    thawed_by: str = ""
    status: str = THAWED

    @property
    def counts_differ(self) -> bool:
        """Whether both counts are known, and more or fewer filesystems were thawed than frozen."""
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

    :param agent: the guest's agent.
    :param target: where the agent is, and how long to wait for it.
    :param deferred_signals: notes the signals that must not end this process while it freezes or thaws.
    :param warn: is called with each warning for the user.
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
        """Return the guest's status, see :meth:`Filesystems.status`."""
        return self._filesystems.status()

    def record(self) -> FreezeRecord | None:
        """Return the record of the current or latest freeze, if there is one."""
        return self._file.read()

    def record_after_thaw(self) -> FreezeRecord | None:
        """Return the record of a guest that is thawed, see :meth:`RecordFile.read_after_thaw`."""
        return self._file.read_after_thaw()

    def freeze(
        self, mountpoints: t.Sequence[str], *, max_frozen: float | None, is_attached: bool = False
    ) -> FreezeRecord | None:
        """Freeze the guest, unless it is frozen.

        :param mountpoints: the filesystems to freeze; an empty sequence means all.
        :param max_frozen: seconds after which a guard thaws; None means without a guard.
        :param is_attached: whether this process stays, to :meth:`thaw` it. The guard thaws at once if it dies before.
        :returns: the record of the freeze; None if the guest was frozen already.
        :raises TaskFailed: the guest is not frozen, or its status is not known.
        :raises QgaError: the same.
        """
        with contextlib.ExitStack() as stack:
            try:
                # A signal may interrupt here, because nothing has been sent that would have to be finished.
                with self._deferred_signals.raising():
                    stack.enter_context(self._lock(self._target.deadline(FREEZE_TIMEOUT)))
                    if self._filesystems.status() == FROZEN:
                        return None
            except Interrupted as exc:
                raise TaskFailed(
                    f"{self._endpoint}: {exc} came before the guest was frozen", error="interrupted"
                ) from exc
            token = secrets.token_hex(16)
            if max_frozen is not None:
                self._guard = GuardProcess.start(GuardConfig(token, max_frozen, self._target))
            try:
                return self._freeze_and_record(FreezeRecord(token, tuple(mountpoints)), max_frozen, is_attached)
            except FreezeUnresolved:
                raise
            except (TaskFailed, QgaError):
                # The guest is not frozen.
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
                    f"{self._endpoint}: {self._deferred_signals.name} came while the guest was being frozen; "
                    f"it was thawed again",
                    error="interrupted",
                    status=THAWED,
                )
            if count == 0:
                self._require_something_frozen(record)
        except FreezeUnresolved:
            raise
        except (TaskFailed, QgaError):
            self._save(replace(record, thawed_by=MODULE))
            raise
        self._own_record = record
        self._save(record)
        if guard is not None and not (guard.attach() if is_attached else guard.detach()):
            self._warn("The guard has died. Nothing thaws the guest when max_frozen is over.")
        return record

    def _require_something_frozen(self, record: FreezeRecord) -> None:
        if not record.mountpoints and self._filesystems.status() == FROZEN:
            return
        self._undo()
        if record.mountpoints:
            message = (
                f"none of {', '.join(record.mountpoints)} was frozen. They have to be mountpoints of filesystems that "
                f"can be frozen, spelled as guest-get-fsinfo reports them"
            )
        else:
            message = "nothing was frozen. The guest has no filesystem that can be frozen"
        raise TaskFailed(f"{self._endpoint}: {message}", error="nothing_frozen", status=THAWED)

    def _undo(self) -> None:
        """Thaw what this process has just frozen."""
        try:
            if self._filesystems.status() == FROZEN:
                self._filesystems.thaw()
        except (QgaError, TaskFailed) as exc:
            raise FreezeUnresolved(str(exc), error="still_frozen", status="unknown") from exc

    def thaw(self) -> ThawResult:
        """Thaw the guest, unless it is thawed, and return how the freeze ended.

        :raises TaskFailed: the guest is still frozen, or its status is not known. If there is a guard, it goes on
            trying.
        :raises QgaError: the same.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(EndpointUnavailable):
                # A missing runtime directory must not keep a guest frozen.
                stack.enter_context(self._lock(self._target.deadline(THAW_TIMEOUT)))
            status = self._status_to_thaw()
            record = self._current_record()
            if (
                status == FROZEN
                and self._own_record is not None
                and record is not None
                and record.token != self._own_record.token
            ):
                # Our freeze has ended. This is another one, and not ours to end.
                self._cancel_guard()
                return ThawResult(self._own_record, None, OTHERS, status=FROZEN)
            if status == THAWED:
                result = ThawResult(record, None, thawed_before(record))
            else:
                is_known = record is not None and not record.thawed_by and record.count is not None
                result = ThawResult(record if is_known else None, self._filesystems.thaw())
            if record is not None and record.thawed_by != MODULE:
                self._save(replace(record, thawed_by=MODULE))
            self._cancel_guard()
            return result

    def _status_to_thaw(self) -> str:
        """Return the status before a thaw. Ask a silent agent repeatedly if a freeze is known that has to end."""
        record = self._current_record()
        if record is None or record.thawed_by:
            return self.status()
        return self._filesystems.status_in_time(self._target.deadline(THAW_TIMEOUT))

    def _current_record(self) -> FreezeRecord | None:
        """Return the record on this host, or this process's own one if that has the same freeze and knows more."""
        record, own = self._file.read(), self._own_record
        return own if own and (record is None or (record.token == own.token and not record.thawed_by)) else record

    def release(self) -> None:
        """Leave the freeze to the guard, if there is one."""
        if self._guard is not None:
            self._guard.close()

    def _cancel_guard(self) -> None:
        if self._guard is not None:
            self._guard.cancel()

    def _save(self, record: FreezeRecord) -> None:
        # A freeze or thaw is valid without a record.
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
    if max_frozen is not None and not 0 < max_frozen <= _MAX_FROZEN:
        raise InvalidRequest(f"max_frozen has to be more than 0 seconds, and at most {_MAX_FROZEN}, which is a year")


def thawed_before(record: FreezeRecord | None) -> str:
    """Return who thawed a guest that is thawed now: empty if no freeze is known, or if a module ended it."""
    if record is None or record.thawed_by == MODULE:
        return ""
    # Without a count it is not known whether the guest has ever been frozen.
    return record.thawed_by or ("" if record.count is None else OTHERS)
