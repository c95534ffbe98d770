# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: a guest that is this machine, and the parts of the collection that use it."""

from __future__ import annotations

import contextlib
import pathlib
import random
import shutil
import string
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector

from .local_guest import LocalGuest
from .spool import SHELLS, Spool

#: So small that tests need several chunks.
CHUNK = 2000


def spools(runner: ProgramRunner) -> set[pathlib.Path]:
    """Return the files that the runs have left on this machine."""
    prefix = runner._prefix  # pylint: disable=protected-access
    return {path for base in BASES for path in pathlib.Path(base).glob(f"{prefix}.*")}


@pytest.fixture(name="guest")
def fixture_guest() -> LocalGuest:
    """Return the guest, which the test may change."""
    return LocalGuest()


@pytest.fixture(name="agent")
def fixture_agent(guest: LocalGuest) -> t.Iterator[Agent]:
    """Provide the guest's agent."""
    with (
        guest.listening() as path,
        contextlib.closing(StreamChannel(UnixConnector(path), reply_timeout=3.0, chunk=CHUNK)) as channel,
    ):
        yield Agent(channel)
    assert not guest.handles, "files were left open"


@pytest.fixture(name="files")
def fixture_files(agent: Agent) -> Files:
    """Return the guest's files."""
    return Files(agent)


@pytest.fixture(name="runner")
def fixture_runner(agent: Agent, files: Files) -> t.Iterator[ProgramRunner]:
    """Provide a runner of programs in the guest, and check that nothing is left at the end."""
    runner = ProgramRunner(agent, files)
    yield runner
    runner.close()
    assert not spools(runner)


@pytest.fixture(name="base")
def fixture_base() -> t.Iterator[pathlib.Path]:
    """Provide a directory whose name has the form of a spool directory in a guest."""
    base = pathlib.Path("/tmp/netless") / "".join(random.choices(string.ascii_lowercase, k=16))
    base.mkdir(parents=True)
    yield base
    shutil.rmtree(base)
    with contextlib.suppress(OSError):
        base.parent.rmdir()


@pytest.fixture(name="spool", params=SHELLS, ids=" ".join)
def fixture_spool(request: pytest.FixtureRequest, base: pathlib.Path) -> Spool:
    """Return a spool for each shell."""
    return Spool(base, request.param)
