# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection process for the agent of a libvirt domain. It runs in a thread here, where the library is replaced."""

from __future__ import annotations

import os
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._connection_process import process_socket
from ansible_collections.netless.qga.plugins.module_utils._connection_process.persistent_channel import (
    PersistentChannel,
)
from ansible_collections.netless.qga.plugins.module_utils._connection_process.process_socket import (
    ProcessSocket,
    short_name,
)
from ansible_collections.netless.qga.plugins.module_utils._connection_process.server import serve
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, OutcomeUnknown
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import Failure, Hypervisor

ADDRESS = Address("libvirt", "db1", "qemu:///system")
TIME = Call("guest-get-time")


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    hypervisor.serve(guest_ping={}, guest_get_time=5)
    return hypervisor


@pytest.fixture(name="process")
def fixture_process(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[threading.Thread]:
    """Provide a running process."""
    # pytest sets this to something else during the test.
    monkeypatch.setattr(process_socket, "_VOLATILE", ("PYTEST_CURRENT_TEST",))
    place = ProcessSocket(ADDRESS)
    with socket.socket(socket.AF_UNIX) as listener:
        with short_name(place.path) as name:
            listener.bind(name)
        listener.listen()
        thread = threading.Thread(target=serve, args=[place.config, listener, place.path], daemon=True)
        thread.start()
        yield thread
        thread.join(20)
    assert not thread.is_alive() and not os.path.exists(place.path)
    assert hypervisor.closed or not hypervisor.opened


def channel(**options: t.Any) -> PersistentChannel:
    return PersistentChannel(ADDRESS, **{"persist": 0.5, "owner": os.getpid(), **options})


@pytest.mark.usefixtures("process")
def test_tasks_share_one_connection_to_the_hypervisor(hypervisor: Hypervisor) -> None:
    for dummy in range(3):
        shared = channel()
        assert shared.sync(Deadline.after(10)).discarded == 0
        assert shared.exchange([Call("guest-ping")], Deadline.after(10)) == [Answer(0, {})]
        shared.close()
    assert hypervisor.opened == 1


@pytest.mark.usefixtures("process")
def test_each_task_chooses_whether_libvirt_makes_native_calls(hypervisor: Hypervisor) -> None:
    hypervisor.own["getTime"] = lambda flags: {"seconds": 7, "nseconds": 1}
    native, plain = channel(native_calls=True), channel()
    assert native.exchange([TIME], Deadline.after(10)) == [Answer(0, 7_000_000_001)]
    assert plain.exchange([TIME], Deadline.after(10)) == [Answer(0, 5)]
    assert native.exchange([TIME], Deadline.after(10)) == [Answer(0, 7_000_000_001)]
    native.close()
    plain.close()


@pytest.mark.usefixtures("process")
def test_sizes_are_those_that_libvirt_can_take() -> None:
    shared, small = channel(), channel(chunk=4096)
    assert (shared.chunk, shared.reply_chunk) == (128 << 10, 1 << 20)
    assert (small.chunk, small.reply_chunk) == (4096, 4096)
    shared.close()
    small.close()


@pytest.mark.usefixtures("process")
def test_errors_of_libvirt_reach_the_task(hypervisor: Hypervisor) -> None:
    shared = channel()
    (outcome,) = shared.exchange([Call("guest-no-such")], Deadline.after(10))
    assert isinstance(outcome, ErrorReply) and outcome.desc == "The command has not been found"
    hypervisor.replies.append(Failure(38, "Broken pipe"))
    with pytest.raises(OutcomeUnknown, match="Broken pipe"):
        shared.exchange([TIME], Deadline.after(10))
    hypervisor.power = 5
    # The domain is asked for its state only if its last answer is older than this.
    time.sleep(0.1)
    with pytest.raises(EndpointUnavailable, match="the domain is off"):
        shared.exchange([TIME], Deadline.after(10))
    hypervisor.power = 1
    assert shared.exchange([TIME], Deadline.after(10)) == [Answer(0, 5)]
    shared.close()


@pytest.mark.usefixtures("process")
def test_bug_is_an_unknown_outcome_and_the_process_goes_on(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = channel()
    assert shared.exchange([TIME], Deadline.after(10)) == [Answer(0, 5)]
    agent = dict(hypervisor.agent)
    hypervisor.agent["guest-get-time"] = lambda arguments: agent["secret"]
    with pytest.raises(OutcomeUnknown, match="failed with KeyError, a bug") as caught:
        shared.exchange([TIME], Deadline.after(10))
    assert "secret" not in str(caught.value)
    monkeypatch.setattr(hypervisor, "agent", agent)
    assert shared.exchange([TIME], Deadline.after(10)) == [Answer(0, 5)]
    shared.close()
