# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guard has to know, as one line on its standard input, because the guard is another process."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target


@dataclass(frozen=True)
class GuardConfig:
    """What a guard needs to know.

    :param token: the token of the freeze, as in its record.
    :param max_frozen: seconds after which the guard thaws.
    :param target: the guest's agent.
    """

    token: str
    max_frozen: float
    target: Target

    @classmethod
    def from_line(cls, line: str) -> GuardConfig:
        """Return the configuration that :meth:`as_line` described."""
        members = json.loads(line)
        return cls(members["token"], members["max_frozen"], Target.from_dict(members["target"]))

    def as_line(self) -> str:
        """Return the configuration as one line of ASCII, for :meth:`from_line` in the guard's process."""
        members = {"token": self.token, "max_frozen": self.max_frozen, "target": self.target.as_dict()}
        return json.dumps(members) + "\n"
