# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of commands before they are sent."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils._schema.command_traits import is_silent, since
from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS


def test_version_and_silence_of_commands() -> None:
    assert len(COMMANDS) >= 44
    assert since("guest-sync") == "0.15.0"
    assert since("guest-exec") == "2.5"
    assert since("guest-network-get-route") == "9.1"
    assert since("guest-get-everything") is None
    assert {command for command in COMMANDS if is_silent(command)} == {
        "guest-shutdown",
        "guest-suspend-disk",
        "guest-suspend-hybrid",
        "guest-suspend-ram",
    }
    assert not is_silent("guest-get-everything")
