# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest of a running lab, domains without a guest, and agents on them through libvirt.

The environment variable NETLESS_LAB names the directory of the lab.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import typing as t

import libvirt  # pylint: disable=import-error
import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.tests.guests.sshd import Sshd
from ansible_collections.netless.qga.tests.integration.targets.vm_libvirt.domains import (
    CHANNELS,
    GUEST,
    URI,
    Dial,
    empty_domain,
)


@pytest.fixture
def dial() -> t.Iterator[Dial]:
    with contextlib.ExitStack() as stack:

        def dial(endpoint: str, domain: str = GUEST, uri: str = URI, **options: t.Any) -> Agent:
            settings = {"connect_timeout": 20.0, "reply_timeout": 60.0, "chunk": None, "log": lambda line: None}
            agent = Agent(make_channel(Address(endpoint, domain, uri), **{**settings, **options}))
            stack.callback(agent.close)
            return agent

        yield dial


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(120)


@pytest.fixture(scope="session")
def lab() -> pathlib.Path:
    """Return the directory of the lab."""
    return pathlib.Path(os.environ["NETLESS_LAB"])


@pytest.fixture
def hypervisor() -> t.Iterator[libvirt.virConnect]:
    """Open a connection that is independent of the tested one."""
    connection = libvirt.open(URI)
    yield connection
    connection.close()


@pytest.fixture
def empty(hypervisor: libvirt.virConnect, tmp_path: pathlib.Path) -> t.Iterator[libvirt.virDomain]:
    """Run a domain without a guest."""
    with empty_domain(hypervisor, tmp_path.name, CHANNELS) as domain:
        yield domain


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as daemon:
        yield daemon


@pytest.fixture(params=["local", "ssh"])
def uri(request: pytest.FixtureRequest) -> str:
    """Return the hypervisor's URI, local and by ssh."""
    return request.getfixturevalue("sshd").uri if request.param == "ssh" else URI
