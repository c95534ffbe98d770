# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modes of files in the guest."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

#: The mode of a new file, if its owner is to be the only one who can read it.
PRIVATE_MODE = 0o600

#: The mode with which guest-file-open creates files.
AGENT_MODE = 0o666

_MAX_MODE = 0o7777
_OCTAL = re.compile(r"(?:0o)?[0-7]{3,5}\Z")


def parse_mode(value: t.Any) -> int | None:
    """Return the mode that an option stands for, as Ansible's modules take it; None if the option is not set.

    :param value: octal digits in text, or the number that YAML made of them.
    :raises InvalidRequest: it is neither.
    """
    if value is None:
        return None
    if isinstance(value, str) and _OCTAL.match(value):
        value = int(value, 8)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_MODE:
        raise InvalidRequest("mode has to be an octal number in quotes, like '0644'")
    return value
