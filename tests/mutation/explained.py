# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mutants of the framing that survive, and why each of them is no gap in the tests."""

from __future__ import annotations

EXPLAINED: dict[str, str] = {
    'strict_json.py: decode: return data.decode("utf-8") -> return data.decode("UTF-8") (1)': (
        "Python ignores the case of a codec's name."
    ),
}
"""A mutant as the report names it, and the reason."""
