# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Channels to scripted agents that are closed when a test ends."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent


class Dial(t.Protocol):
    """A function that opens a channel to a scripted agent, or to a socket."""

    def __call__(self, to: ScriptedAgent | str, **options: t.Any) -> StreamChannel: ...


@pytest.fixture(name="dial")
def fixture_dial() -> t.Iterator[Dial]:
    """Provide a function that opens channels."""
    with contextlib.ExitStack() as stack:

        def dial(to: ScriptedAgent | str, **options: t.Any) -> StreamChannel:
            path = to if isinstance(to, str) else stack.enter_context(to.listening())
            channel = StreamChannel(UnixConnector(path), **options)
            stack.callback(channel.close)
            return channel

        yield dial
