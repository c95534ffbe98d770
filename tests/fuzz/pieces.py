# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an input decides apart from the bytes that are parsed: choices, and how the bytes are cut."""

from __future__ import annotations

import itertools


def split_input(data: bytes, choices: int) -> tuple[list[int], bytes]:
    """Return the numbers that an input begins with, 0 where it is too short, and the rest of it.

    :param choices: how many numbers.
    """
    return list(data[:choices].ljust(choices, b"\0")), data[choices:]


def cut(data: bytes, choice: int) -> list[bytes]:
    """Cut data into pieces of one to six bytes, or of up to some hundred.

    :param choice: a number that decides the sizes.
    """
    factor = 1 if choice % 2 else 50
    sizes = itertools.cycle([factor * (1 + choice // 2 % 7), factor * (1 + choice // 14 % 5), 1])
    pieces, position = [], 0
    while position < len(data):
        size = next(sizes)
        pieces.append(data[position : position + size])
        position += size
    return pieces
