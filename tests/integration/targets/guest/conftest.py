# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: real guest agents of several Debian suites, and the parts of the collection that use them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import SUITES, build


@pytest.fixture(scope="session", params=SUITES)
def guest(request: pytest.FixtureRequest) -> t.Iterator[SandboxedAgent]:
    """Provide a guest of each suite."""
    with SandboxedAgent(build(request.param)) as sandbox:
        yield sandbox


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(120)


@pytest.fixture
def log() -> list[str]:
    """Return the lines that the channel logs."""
    return []


@pytest.fixture
def agent(guest: SandboxedAgent, log: list[str]) -> t.Iterator[Agent]:
    agent = Agent(StreamChannel(parse_connector(guest.endpoint), log=log.append))
    yield agent
    agent.close()


@pytest.fixture
def files(agent: Agent) -> Files:
    return Files(agent)


@pytest.fixture
def runner(agent: Agent, files: Files) -> t.Iterator[ProgramRunner]:
    runner = ProgramRunner(agent, files)
    yield runner
    runner.close()
