# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package as a stranger uses it: through its public names only."""

from __future__ import annotations

import textwrap
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils import framing
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent


@pytest.mark.parametrize("profile", ["modern", "stale", "no_delimited", "ignores_ids", "no_ids"])
def test_example_of_the_docstring_works(profile: str) -> None:
    paragraphs = (framing.__doc__ or "").split("\n\n")
    (example,) = (text for text in paragraphs if text.startswith("    session = "))
    names: dict[str, t.Any] = {name: getattr(framing, name) for name in framing.__all__}
    with ScriptedAgent(profile).connected() as channel:
        names["channel"] = channel
        exec(textwrap.dedent(example), names)  # pylint: disable=exec-used
    assert names["event"].value["version"]


def test_everything_public_is_there() -> None:
    assert all(hasattr(framing, name) for name in framing.__all__)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Parser'"):
        framing.__getattr__("Parser")
