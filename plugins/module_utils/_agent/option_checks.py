# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of numbers that the user sets as options, for the connection and the modules."""

from __future__ import annotations

import math

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


def check_positive(option: str, value: float, unit: str = "seconds") -> None:
    """Check an option that limits a time or a size.

    :param option: the option's name, for the message.
    :param unit: what the value counts.
    :raises InvalidRequest: the value is zero, negative, infinite or not a number.
    """
    if not 0 < value < math.inf:
        raise InvalidRequest(f"{option} is {value:g}: it has to be a number of {unit} greater than 0")


def check_not_negative(option: str, value: float | None) -> None:
    """Check an option that counts seconds and may be zero, or not set.

    :param option: the option's name, for the message.
    :raises InvalidRequest: the value is negative, infinite or not a number.
    """
    if value is not None and not 0 <= value < math.inf:
        raise InvalidRequest(f"{option} is {value:g}: it has to be a number of seconds, or 0")
