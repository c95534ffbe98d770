# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent's end saw of how a client synchronises, over all cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .scripted_end import Request, ScriptedEnd

_SYNCS = ("guest-sync", "guest-sync-delimited")
_MIN_RANDOM_BITS = 32


class Observations:
    """The observations of one client."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._first: list[Request] = []
        self._after_lost: list[Request] = []

    def add(self, end: ScriptedEnd) -> None:
        """Add the requests of one case."""
        self._requests += end.requests
        first: dict[int, Request] = {}
        for request in end.requests:
            first.setdefault(request.connection, request)
        self._first += first.values()
        self._after_lost += [end.requests[index] for index in end.lost if index < len(end.requests)]

    def as_result(self) -> Mapping[str, str]:
        """Return the observations in words."""
        syncs = [request for request in self._requests if request.command in _SYNCS]
        return {
            "syncs with guest-sync-delimited": _share(sync.command == "guest-sync-delimited" for sync in syncs),
            "sends 0xFF before the sync": _share(sync.follows_ff for sync in syncs),
            "sync ids": _ids([sync.arguments.get("id") for sync in syncs]),
            "syncs before anything else on a connection": _share(request.command in _SYNCS for request in self._first),
            "syncs again after a lost reply": _share(request.command in _SYNCS for request in self._after_lost),
        }


def _share(values: Iterable[bool]) -> str:
    known = list(values)
    if not known:
        return "never seen"
    if all(known):
        return "always"
    return f"{sum(known)} of {len(known)} times" if any(known) else "never"


def _ids(ids: list[object]) -> str:
    if not ids:
        return "never seen"
    numbers = [value for value in ids if isinstance(value, int)]
    if len(numbers) < len(ids):
        return "not all are integers"
    if len(set(numbers)) < len(numbers):
        return "repeated"
    if len(numbers) > 2 and numbers == sorted(numbers):
        return "ascending"
    return "random" if max(numbers).bit_length() > _MIN_RANDOM_BITS else "small"
