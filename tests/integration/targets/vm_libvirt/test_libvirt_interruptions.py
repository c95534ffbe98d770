# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A libvirtd that is restarted, between two calls and during one, and an agent that is busy."""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import AgentSilent, OutcomeUnknown
from ansible_collections.netless.qga.tests.integration.targets.vm_libvirt.domains import ENDPOINTS, STREAM, Dial
from ansible_collections.netless.qga.tests.lab import daemons
from ansible_collections.netless.qga.tests.lab.libvirt_daemons import Libvirt
from ansible_collections.netless.qga.tests.lab.machine import SECOND_CHANNEL

SERVICES = {"libvirt": "qemu-guest-agent", STREAM: f"netless-agent@{SECOND_CHANNEL}"}


def other(endpoint: str) -> str:
    return next(each for each in ENDPOINTS if each != endpoint)


@contextlib.contextmanager
def stopped(endpoint: str, helper: Agent) -> t.Iterator[t.Callable[[], None]]:
    """Stop the agent at the endpoint until the function that is yielded is called, or the block ends.

    :param helper: another agent of the guest.
    """

    def send(signal: str) -> None:
        runner = ProgramRunner(helper, Files(helper))
        command = ["systemctl", "kill", f"--signal={signal}", SERVICES[endpoint]]
        assert runner.run(command, deadline=Deadline.after(60)).rc == 0
        runner.close()

    send("STOP")
    try:
        yield lambda: send("CONT")
    finally:
        send("CONT")


@pytest.fixture
def own_libvirtd(lab: pathlib.Path) -> None:
    if daemons.process_of(lab / "libvirtd.pid") is None:
        pytest.skip("libvirtd is not the lab's own")


@pytest.mark.usefixtures("own_libvirtd")
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_libvirtd_is_restarted_between_two_calls(
    dial: Dial, endpoint: str, lab: pathlib.Path, deadline: Deadline
) -> None:
    agent = dial(endpoint)
    assert agent.call("guest-ping", deadline=deadline) == {}
    Libvirt(lab).restart()
    assert agent.call("guest-ping", deadline=deadline) == {}


@pytest.mark.usefixtures("own_libvirtd")
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_libvirtd_is_restarted_during_a_call(dial: Dial, endpoint: str, lab: pathlib.Path, deadline: Deadline) -> None:
    agent, helper = dial(endpoint), dial(other(endpoint))
    assert agent.call("guest-ping", deadline=deadline) == {}
    with stopped(endpoint, helper) as release:
        restarting = threading.Timer(1, Libvirt(lab).restart)
        restarting.start()
        with pytest.raises(OutcomeUnknown, match="the answer to guest-ping is lost"):
            agent.call("guest-ping", deadline=deadline)
        restarting.join()
        release()
        assert agent.call("guest-ping", deadline=deadline) == {}


def test_busy_agent_is_waited_for_until_the_deadline(dial: Dial, deadline: Deadline) -> None:
    # Not on a stream: there the second client waits for the channel, not for the agent.
    busy, patient, impatient = dial("libvirt"), dial("libvirt"), dial("libvirt")
    with stopped("libvirt", dial(STREAM)) as release:
        calling = threading.Thread(target=busy.call, args=["guest-ping"], kwargs={"deadline": deadline})
        calling.start()
        time.sleep(1)
        started = time.monotonic()
        with pytest.raises(AgentSilent, match="another client's command keeps it busy"):
            impatient.sync(Deadline.after(1.5))
        assert 1.5 <= time.monotonic() - started < 5
        releasing = threading.Timer(2, release)
        releasing.start()
        assert patient.call("guest-ping", deadline=deadline) == {}
        releasing.join()
        calling.join()
