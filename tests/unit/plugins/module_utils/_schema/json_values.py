# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of every kind that JSON has, to be put where something else is expected."""

from __future__ import annotations

from hypothesis import strategies as st

#: What must not get into an error message.
SECRET = "correct horse"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["pid", "path", "arg", "whence", "mode", "type", "name", "vcpus"]), inner)
    ),
    max_leaves=12,
)
