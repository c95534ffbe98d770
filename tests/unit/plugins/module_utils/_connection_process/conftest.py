# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Channels through connection processes, which are ended when a test ends."""

from __future__ import annotations

import contextlib
import os
import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._connection_process.persistent_channel import (
    PersistentChannel,
)
from ansible_collections.netless.qga.tests.guests.connection_processes import end_all, pids
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent


class Share(t.Protocol):
    """A function that makes a channel through the connection process of a socket."""

    def __call__(self, path: str, **options: t.Any) -> PersistentChannel: ...


@pytest.fixture(name="path")
def fixture_path(agent: ScriptedAgent) -> t.Iterator[str]:
    """Provide the socket of an agent."""
    with agent.listening() as path:
        yield path


@pytest.fixture(name="agent")
def fixture_agent() -> ScriptedAgent:
    return ScriptedAgent()


@pytest.fixture(name="share")
def fixture_share(tmp_path: pathlib.Path) -> t.Iterator[Share]:
    """Provide a function that makes channels."""
    with contextlib.ExitStack() as stack:
        stack.callback(end_all, tmp_path)

        def share(path: str, **options: t.Any) -> PersistentChannel:
            settings = {"persist": 30.0, "owner": os.getpid(), **options}
            channel = PersistentChannel(Address(f"unix:{path}"), **settings)
            stack.callback(channel.close)
            return channel

        yield share


@pytest.fixture(name="processes")
def fixture_processes(tmp_path: pathlib.Path) -> t.Callable[[], list[int]]:
    """Provide a function that returns the process IDs of the test's connection processes."""
    return lambda: pids(tmp_path)


@pytest.fixture(name="sockets")
def fixture_sockets(tmp_path: pathlib.Path) -> t.Callable[[], list[pathlib.Path]]:
    """Provide a function that returns the sockets of the test's connection processes."""
    return lambda: list(tmp_path.glob("netless-qga-*/*.sock"))
