# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where this collection is imported from, for a process that is to import it too."""

from __future__ import annotations

import os


def import_root() -> str:
    """Return where this collection is imported from: a directory, or the archive that a module comes in."""
    return __file__.rpartition(f"{os.sep}ansible_collections{os.sep}")[0]
