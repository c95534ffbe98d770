# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules over a host's own connection: they go the way that it goes."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.action.agent_module import ActionModule
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address


class GuestConnection:
    """A connection, as far as its options."""

    def get_option(self, name: str) -> t.Any:
        return {
            "endpoint": "unix:/run/vms/web1.sock",
            "libvirt_uri": "qemu:///session",
            "remote_addr": "web1",
            "reply_timeout": 50.0,
            "timeout": 5.0,
            "transfer_chunk": 4096,
        }[name]


def test_heeds_the_options_of_the_connection() -> None:
    nothing: t.Any = None
    plugin = ActionModule(nothing, t.cast(t.Any, GuestConnection()), nothing, nothing, nothing)
    target = plugin._target()  # pylint: disable=protected-access
    assert target.address == Address("unix:/run/vms/web1.sock", "web1", "qemu:///session")
    assert (target.connect_timeout, target.reply_timeout, target.limit) == (5.0, 50.0, None)
    assert target.agent().chunk == 4096
