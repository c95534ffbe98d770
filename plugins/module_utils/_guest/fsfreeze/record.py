# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A record of a freeze on the host that froze: which freeze it is, and how it ended.

There is one record for each endpoint. It stays after the thaw, so that a guard that reads it knows that it has nothing
to do. It can be lost at any time: only the agent knows whether a guest is frozen.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.fair_lock import FairLock
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_path
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointBusy, EndpointUnavailable

# How long the guard may take to write that it has thawed, in seconds.
_SETTLE_TIMEOUT = 5.0

#: Who thawed: a module, the guard, or somebody outside this collection.
MODULE, GUARD, OTHERS = "module", "guard", "others"

_MAX_SIZE = 1 << 20

# The last second of the year 9999. Python has no later dates.
_MAX_TIME = 253402300799


@dataclass(frozen=True)
class FreezeRecord:
    """One freeze.

    :param token: a random name that distinguishes it from all others.
    :param mountpoints: the filesystems that the user named; an empty sequence means all.
    :param frozen_at: when it was frozen, in seconds since 1970.
    :param guard: the ID of the guard's process, 0 if there is none.
    :param thaws_at: when the guard thaws, in seconds since 1970; 0 if there is none.
    :param count: how many filesystems were frozen; None until that is known.
    :param thawed_by: who thawed; empty as long as the guest is frozen, as far as is known.
    """

    token: str
    mountpoints: t.Sequence[str] = ()
    frozen_at: float = 0.0
    guard: int = 0
    thaws_at: float = 0.0
    count: int | None = None
    thawed_by: str = ""

    @property
    def is_partial(self) -> bool:
        """Whether fewer filesystems were frozen than the user named."""
        return self.count is not None and self.count < len(set(self.mountpoints))


class RecordFile:
    """The file with the record of one guest's latest freeze.

    :param endpoint: where the guest's agent is.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def read(self) -> FreezeRecord | None:
        """Return the record; None if there is none, or if it cannot be read."""
        try:
            with open(self._path(), encoding="utf-8", opener=_open_no_link) as file:
                return _parse(json.loads(file.read(_MAX_SIZE)))
        except (OSError, ValueError, RecursionError, EndpointUnavailable):
            return None

    def read_after_thaw(self) -> FreezeRecord | None:
        """Return the record of a guest that has just reported that it is thawed.

        The guard thaws before it writes that it did. So wait until no freeze or thaw is under way on this host.
        """
        record = self.read()
        if record is None or record.thawed_by:
            return record
        fair_lock = freeze_lock(self._endpoint)
        try:
            fair_lock.acquire(Deadline.after(_SETTLE_TIMEOUT))
        except (EndpointBusy, EndpointUnavailable):
            return record
        try:
            return self.read()
        finally:
            fair_lock.release()

    def write(self, record: FreezeRecord) -> None:
        """Replace the record.

        :raises OSError: the record cannot be written; the old one is still there.
        :raises EndpointUnavailable: the same, because this user has no runtime directory.
        """
        path = self._path()
        new = f"{path}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(asdict(record), file)
            os.replace(new, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise

    def _path(self) -> str:
        return runtime_path(self._endpoint, "freeze")


def freeze_lock(endpoint: str) -> FairLock:
    """Return the lock to hold while several commands and the record have to agree on whether a guest is frozen.

    :param endpoint: where the guest's agent is.
    """
    return FairLock(f"freezing and thawing of {endpoint}")


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _parse(members: t.Any) -> FreezeRecord | None:
    try:
        record = FreezeRecord(**members)
    except TypeError:
        return None
    kinds: tuple[tuple[t.Any, t.Any], ...] = (
        (record.token, str),
        (record.mountpoints, list),
        (record.frozen_at, (int, float)),
        (record.guard, int),
        (record.thaws_at, (int, float)),
        (record.count, (int, type(None))),
        (record.thawed_by, str),
    )
    if not all(isinstance(value, kind) for value, kind in kinds):
        return None
    is_sound = all(isinstance(path, str) for path in record.mountpoints) and all(
        0 <= seconds <= _MAX_TIME for seconds in (record.frozen_at, record.thaws_at)
    )
    return record if is_sound else None
