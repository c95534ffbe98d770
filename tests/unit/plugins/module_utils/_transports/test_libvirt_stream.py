# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streams that take part of the data, break, are held by another client, or are slow: a real libvirtd cannot be made
to behave like that.
"""

from __future__ import annotations

import os
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.libvirt_stream import (
    LibvirtStream,
    LibvirtStreamConnector,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    StateError,
    UnreachableReason,
)
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    Failure,
    channel_xml,
)
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.streaming_hypervisor import (
    StreamingHypervisor,
)


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> StreamingHypervisor:
    hypervisor = StreamingHypervisor()
    hypervisor.install(monkeypatch)
    return hypervisor


@pytest.fixture
def stream(hypervisor: StreamingHypervisor) -> t.Iterator[LibvirtStream]:
    stream = connect()
    yield stream
    stream.close()


def connect(channel: str = "io.netless.agent.0", seconds: float = 5) -> LibvirtStream:
    return LibvirtStreamConnector(channel, "db1", "qemu:///system").connect(Deadline.after(seconds))


def test_send_repeats_until_all_data_is_taken(hypervisor: StreamingHypervisor, stream: LibvirtStream) -> None:
    data = os.urandom(300_500)
    stream.send(data, Deadline.after(5))
    assert hypervisor.sent == data


def test_send_gives_up_at_the_deadline(
    hypervisor: StreamingHypervisor, stream: LibvirtStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypervisor, "send", lambda data: time.sleep(5))
    with pytest.raises(TimeoutError):
        stream.send(b"x", Deadline.after(0.1))


def test_receive_returns_data_until_the_deadline(hypervisor: StreamingHypervisor, stream: LibvirtStream) -> None:
    hypervisor.arriving = [-2, b"abc", b"d", -2]
    assert stream.receive(Deadline.after(0.05)) == b"abc"
    assert stream.receive(Deadline.after(0)) == b"d"
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        stream.receive(Deadline.after(0.2))
    assert 0.2 <= time.monotonic() - started < 20


def test_stream_that_breaks(hypervisor: StreamingHypervisor, stream: LibvirtStream) -> None:
    hypervisor.arriving = [Failure(38, "Cannot recv data")]
    assert stream.receive(Deadline.after(1)) == b""
    closed_error = stream.closed_error()
    assert isinstance(closed_error, ChannelClosed) and "the stream ended: Cannot recv data" in str(closed_error)
    assert closed_error.reason is UnreachableReason.CLOSED


def test_stream_that_breaks_while_sending(
    hypervisor: StreamingHypervisor, stream: LibvirtStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(data: bytes) -> None:
        raise Failure(9, "stream is closed")

    monkeypatch.setattr(hypervisor, "send", breaks)
    with pytest.raises(ConnectionError):
        stream.send(b"x", Deadline.after(1))
    assert "stream is closed" in str(stream.closed_error())


def test_connect_waits_for_a_channel_that_another_stream_holds(hypervisor: StreamingHypervisor) -> None:
    hypervisor.open_channel_failures = [Failure(9, "Active channel stream exists for this domain")] * 2
    connect().close()
    assert hypervisor.aborted and hypervisor.closed


def test_connect_reports_a_busy_channel_at_the_deadline(hypervisor: StreamingHypervisor) -> None:
    hypervisor.open_channel_failures = [Failure(9, "Active channel stream exists for this domain")] * 100
    with pytest.raises(EndpointBusy, match="Active channel stream exists"):
        connect(seconds=0.5)
    assert len(hypervisor.open_channel_failures) > 90 and hypervisor.closed


def test_error_names_the_missing_permission(hypervisor: StreamingHypervisor) -> None:
    hypervisor.open_channel_failures = [Failure(88, "access denied")]
    with pytest.raises(EndpointUnavailable, match=r"domain\.open-device is needed: access denied$"):
        connect()


@pytest.mark.parametrize("code", [1, 55])
def test_long_message_of_libvirt_is_cut(hypervisor: StreamingHypervisor, code: int) -> None:
    hypervisor.open_channel_failures = [Failure(code, "x" * 9000)]
    with pytest.raises(EndpointUnavailable, match=r": x{200,300}\.\.\.$"):
        connect()


def test_channel_that_is_not_a_socket(hypervisor: StreamingHypervisor) -> None:
    hypervisor.channels += channel_xml("com.redhat.spice.0", 2, kind="spicevmc")
    for name in ("com.redhat.spice.0", "channel2"):
        with pytest.raises(EndpointUnavailable, match="of type spicevmc"):
            connect(name)


def test_forked_process_cannot_open_a_stream_while_its_parent_has_one(
    stream: LibvirtStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(StateError, match="forked"):
            connect()
    connect().close()
