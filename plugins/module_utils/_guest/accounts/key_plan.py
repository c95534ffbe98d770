# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides which lines of a user's file of keys to add and to remove, before anything is sent."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.public_keys import key_of


@dataclass(frozen=True)
class KeyPlan:
    """What to change in a user's file of keys.

    :param before: the lines with keys that the file has.
    :param after: the lines with keys that the file is to have.
    :param add: the lines to add.
    :param remove: the lines to remove.
    :param exclusive: whether the file is to have nothing else, not even comments.
    """

    before: t.Sequence[str]
    after: t.Sequence[str]
    add: t.Sequence[str] = ()
    remove: t.Sequence[str] = ()
    exclusive: bool = False

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.add or self.remove)

    def as_result(self) -> dict[str, t.Any]:
        """Return it as a part of a module's result."""
        return {
            "changed": self.changes,
            "authorized_keys": self.after,
            "added": self.add,
            "removed": self.remove,
        }


def plan_present(before: t.Sequence[str], wanted: t.Sequence[str], *, exclusive: bool) -> KeyPlan:
    """Plan to have the wanted lines, and no other line with one of their keys.

    :param before: the lines with keys that the file has.
    :param exclusive: whether to have no other line at all.
    """
    # Of two lines with the same key the last one counts.
    lines = {key_of(line): line for line in wanted}
    kept, known = set(lines.values()), set(before)
    add = [line for line in lines.values() if line not in known]
    remove = {line: None for line in before if line not in kept and (exclusive or key_of(line) in lines)}
    after = [line for line in before if line not in remove] + add
    return KeyPlan(before, after, add, list(remove), exclusive)


def plan_absent(before: t.Sequence[str], unwanted: t.Sequence[str]) -> KeyPlan:
    """Plan to have no line with one of the unwanted keys.

    :param before: the lines with keys that the file has.
    """
    keys = {key_of(line) for line in unwanted}
    remove = {line: None for line in before if key_of(line) in keys}
    return KeyPlan(before, [line for line in before if line not in remove], remove=list(remove))


def as_text(lines: t.Iterable[str]) -> str:
    """Return lines as one side of a diff."""
    return "".join(f"{line}\n" for line in lines)
