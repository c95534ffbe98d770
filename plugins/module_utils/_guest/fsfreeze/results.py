# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of the modules fsfreeze and fsfreeze_info: what a freeze, a thaw and a record mean to the user."""

from __future__ import annotations

import datetime
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import FROZEN, THAWED
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.freeze import (
    GuestFreeze,
    ThawResult,
    thawed_before,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_process import is_running
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import GUARD, FreezeRecord

# A guard that was started earlier is worth a warning if less than this share of max_frozen is left to it.
_MIN_SHARE = 0.9

Warn = t.Callable[[str], None]


def freeze_guest(
    guest: GuestFreeze, mountpoints: list[str], max_frozen: float | None, warn: Warn
) -> tuple[str, dict[str, t.Any]]:
    """Freeze a guest, unless it is frozen.

    :param mountpoints: the filesystems to freeze; an empty list means all.
    :param max_frozen: seconds after which a guard thaws; None means without a guard.
    :param warn: is called with each warning for the user.
    :returns: the status before, and the result.
    """
    record = guest.freeze(mountpoints, max_frozen=max_frozen)
    if record is None:
        return FROZEN, _already_frozen(guest.record(), mountpoints, max_frozen, warn)
    if record.is_partial:
        warn(f"Only {record.count} of the {len(set(mountpoints))} mountpoints were frozen.")
    return THAWED, status_result(FROZEN, record)


def thaw_guest(guest: GuestFreeze, warn: Warn) -> tuple[str, dict[str, t.Any]]:
    """Thaw a guest, unless it is thawed.

    :param warn: is called with each warning for the user.
    :returns: the status before, and the result.
    """
    ended = guest.thaw()
    _warn_of_doubts(ended, warn)
    result: dict[str, t.Any] = {"status": THAWED}
    if ended.thaw is None:
        result["thawed"] = 0
    elif ended.thaw.count is not None:
        result["thawed"] = ended.thaw.count
    if ended.thaw is not None and ended.record is not None:
        result.update(_freeze_result(ended.record))
    if ended.thawed_by:
        result["thawed_by"] = ended.thawed_by
    if ended.consistent is not None:
        result["consistent"] = ended.consistent
    return THAWED if ended.thaw is None else FROZEN, result


def predict_change(
    guest: GuestFreeze, state: str, mountpoints: list[str], max_frozen: float | None, warn: Warn
) -> tuple[str, dict[str, t.Any]]:
    """Return what :func:`freeze_guest` or :func:`thaw_guest` would return, without changing anything."""
    status = guest.status()
    if status != state:
        return status, {"status": state}
    if state == FROZEN:
        return status, _already_frozen(guest.record(), mountpoints, max_frozen, warn)
    return status, status_result(status, guest.record_after_thaw())


def status_result(status: str, record: FreezeRecord | None) -> dict[str, t.Any]:
    """Return a guest's status, with everything that the record adds to it.

    :param status: :data:`FROZEN` or :data:`THAWED`.
    :param record: the record of the guest's latest freeze on this host, if there is one.
    """
    result: dict[str, t.Any] = {"status": status}
    if status == THAWED:
        thawed_by = thawed_before(record)
        return {**result, "thawed_by": thawed_by} if thawed_by else result
    if record is None or record.thawed_by:
        return result
    result.update(_freeze_result(record))
    if record.count is not None and record.guard and is_running(record.guard):
        result["guard"] = {"pid": record.guard, "thaws_at": _timestamp(record.thaws_at)}
    return result


def _already_frozen(
    record: FreezeRecord | None, mountpoints: list[str], max_frozen: float | None, warn: Warn
) -> dict[str, t.Any]:
    result = status_result(FROZEN, record)
    lacks_guard = max_frozen is not None and "guard" not in result
    if lacks_guard or (mountpoints and mountpoints != result.get("mountpoints")):
        warn(
            "The guest is frozen already, by a freeze with other options: this task ignored mountpoints and "
            "max_frozen, and no guard was started."
        )
    elif max_frozen is not None and record is not None:
        left = max(0.0, record.thaws_at - time.time())
        if left < _MIN_SHARE * max_frozen:
            warn(f"The guest is frozen already, and its guard thaws it in {left:.0f} seconds.")
    return result


def _freeze_result(record: FreezeRecord) -> dict[str, t.Any]:
    """Return what is known of a freeze; nothing if it may not have happened."""
    if record.count is None:
        return {}
    return {
        "frozen": record.count,
        "mountpoints": list(record.mountpoints),
        "frozen_at": _timestamp(record.frozen_at),
    }


def _warn_of_doubts(ended: ThawResult, warn: Warn) -> None:
    if ended.thawed_by:
        who = "the guard, when max_frozen was over" if ended.thawed_by == GUARD else "another tool, or by a reboot"
        warn(f"The guest had been thawed before this task, by {who}. What was copied since then may not be consistent.")
    if ended.thaw is not None and ended.thaw.error:
        warn(f"The guest was thawed, but its agent reported an error: {ended.thaw.error}")
    if ended.counts_differ:
        warn("The number of filesystems thawed differs from the number frozen.")


def _timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
