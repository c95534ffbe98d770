# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A test as an ordinary user, since root has every permission."""

from __future__ import annotations

import contextlib
import os
import typing as t


@contextlib.contextmanager
def as_nobody() -> t.Iterator[None]:
    """Run the block as nobody if this is root; another user stays what it is."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield
