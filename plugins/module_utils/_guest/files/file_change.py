# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a task changes a file, and what its result shows of that."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._guest.files.content import MAX_SHOWN, ContentSummary


@dataclass(frozen=True)
class FileChange:
    """A file before and after a task. In check mode it is what the task would do.

    :param path: the file that changes, for the diff.
    :param before: the contents before; None if there was no file, as far as the agent can find out.
    :param after: the contents after.
    :param mode_before: the mode before; None if it is unknown or stays as it is.
    :param mode: the mode after; None if it is unknown or stays as it is.
    """

    path: str
    before: ContentSummary | None
    after: ContentSummary
    mode_before: int | None = None
    mode: int | None = None

    @property
    def changed(self) -> bool:
        """Whether the contents or the mode differ."""
        return not self.after.same_as(self.before) or self.mode != self.mode_before

    def as_result(self, *, diff_mode: bool) -> dict[str, t.Any]:
        """Return the change as a part of a module's result."""
        result: dict[str, t.Any] = {
            "changed": self.changed,
            "checksum": self.after.checksum,
            "size": self.after.size,
        }
        if self.mode is not None:
            result["mode"] = f"{self.mode:04o}"
        if diff_mode:
            result["diff"] = self._diff()
        return result

    def _diff(self) -> list[dict[str, t.Any]]:
        diffs = [self._content_diff()]
        if self.mode != self.mode_before and self.before is not None:
            diffs.append({"before": {"mode": f"{self.mode_before:04o}"}, "after": {"mode": f"{self.mode:04o}"}})
        return diffs

    def _content_diff(self) -> dict[str, t.Any]:
        """Return the diff of the contents in Ansible's format. It leaves out contents that are large or not text."""
        diff: dict[str, t.Any] = {"before_header": self.path, "after_header": self.path, "before": ""}
        for side, name, content in (("before", "dst", self.before), ("after", "src", self.after)):
            if content is None:
                continue
            if content.cut or content.size > MAX_SHOWN:
                diff[f"{name}_larger"] = MAX_SHOWN
                continue
            try:
                diff[side] = content.beginning.decode("utf-8")
            except UnicodeDecodeError:
                diff[f"{name}_binary"] = 1
        return diff
