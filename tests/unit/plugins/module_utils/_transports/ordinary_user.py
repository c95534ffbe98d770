# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Being somebody else than root for a while, who may do anything."""

from __future__ import annotations

import contextlib
import os
import typing as t


@contextlib.contextmanager
def as_nobody() -> t.Iterator[None]:
    """Root is another user until the block ends; anybody else stays who they are."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield
