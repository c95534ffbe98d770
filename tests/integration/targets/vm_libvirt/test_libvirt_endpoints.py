# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's agents, through libvirt's RPC and through a stream, locally and by ssh."""

from __future__ import annotations

import os
import pathlib
import secrets
import threading
import time

import libvirt  # pylint: disable=import-error
import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import AgentRefused, OutcomeUnknown
from ansible_collections.netless.qga.tests.guests.sshd import Sshd
from ansible_collections.netless.qga.tests.integration.targets.vm_libvirt.domains import ENDPOINTS, GUEST, STREAM, Dial

pytestmark = pytest.mark.parametrize("endpoint", ENDPOINTS)


def test_agent_answers(dial: Dial, endpoint: str, uri: str, deadline: Deadline) -> None:
    agent = dial(endpoint, uri=uri)
    assert agent.sync(deadline).delimited is (endpoint == STREAM)
    assert agent.call("guest-get-host-name", deadline=deadline) == {"host-name": GUEST}
    with pytest.raises(AgentRefused, match="guest-file-open") as caught:
        agent.call("guest-file-open", {"path": "/no/such"}, deadline=deadline)
    assert "No such file or directory" in caught.value.desc


def test_three_mebibytes_both_ways(
    dial: Dial, endpoint: str, uri: str, deadline: Deadline, tmp_path: pathlib.Path
) -> None:
    agent = dial(endpoint, uri=uri)
    files = Files(agent)
    runner = ProgramRunner(agent, files)
    data = secrets.token_bytes(3 * 1024 * 1024)
    here, back, there = tmp_path / "here", tmp_path / "back", f"/root/{tmp_path.name}"
    here.write_bytes(data)
    files.put(str(here), there, deadline=deadline)
    files.get(there, str(back), deadline=deadline)
    assert back.read_bytes() == data
    ended = runner.run(["sh", "-c", f"rm {there}; cat"], stdin=data, deadline=deadline)
    assert (ended.rc, ended.stdout, ended.stderr) == (0, data, b"")
    runner.close()


def test_domain_by_its_uuid(dial: Dial, endpoint: str, hypervisor: libvirt.virConnect, deadline: Deadline) -> None:
    agent = dial(endpoint, domain=hypervisor.lookupByName(GUEST).UUIDString())
    assert agent.call("guest-ping", deadline=deadline) == {}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_process_has_its_own_connection(dial: Dial, endpoint: str, deadline: Deadline) -> None:
    agent = dial(endpoint)
    assert agent.call("guest-ping", deadline=deadline) == {}
    agent.close()
    child = os.fork()
    if child == 0:
        # The child must not go on with the parent's tests, whatever happens here.
        os._exit(0 if dial(endpoint).call("guest-ping", deadline=deadline) == {} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert agent.call("guest-ping", deadline=deadline) == {}


def test_close_leaves_no_descriptor_or_thread(dial: Dial, endpoint: str, deadline: Deadline) -> None:
    def once() -> tuple[int, int]:
        agent = dial(endpoint)
        assert agent.call("guest-ping", deadline=deadline) == {}
        agent.close()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    first = once()
    for dummy in range(5):
        last = once()
    assert last[0] <= first[0] and last[1] <= first[1]


def test_hypervisor_that_stops_answering(dial: Dial, endpoint: str, sshd: Sshd, deadline: Deadline) -> None:
    agent = dial(endpoint, uri=sshd.uri, reply_timeout=2.0)
    assert agent.call("guest-ping", deadline=deadline) == {}
    with sshd.stopped():
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="the answer to guest-ping is lost"):
            agent.call("guest-ping", deadline=deadline)
        assert time.monotonic() - started < 5
        agent.close()
        assert time.monotonic() - started < 10
    assert agent.call("guest-ping", deadline=deadline) == {}
