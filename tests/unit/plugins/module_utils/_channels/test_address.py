# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Endpoints, as users write them, become channels or clear errors."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.address import (
    Address,
    make_channel,
    parse_connector,
)
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Channel
from ansible_collections.netless.qga.plugins.module_utils._transports.exec import ExecConnector
from ansible_collections.netless.qga.plugins.module_utils._transports.serial import SerialConnector
from ansible_collections.netless.qga.plugins.module_utils._transports.tcp import TcpConnector
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.plugins.module_utils._transports.vsock import VsockConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest


@pytest.mark.parametrize("path", ["/run/vms/db1/qga.sock", "relative", "/with:colon and space", " /leading"])
def test_unix_endpoint_keeps_the_path_as_written(path: str) -> None:
    endpoint = parse_connector(f"unix:{path}")
    assert isinstance(endpoint, UnixConnector) and endpoint.path == path
    assert endpoint.name == f"unix:{path}"


def test_exec_endpoint_keeps_the_command_as_written() -> None:
    endpoint = parse_connector("exec:ssh hv1 socat - UNIX:/run/s")
    assert isinstance(endpoint, ExecConnector) and endpoint.command == "ssh hv1 socat - UNIX:/run/s"
    assert endpoint.name == endpoint.lock_key == "exec:ssh hv1 socat - UNIX:/run/s"


def test_tcp_vsock_and_serial_endpoints_are_parsed() -> None:
    assert parse_connector("tcp:[::1]:4444") == TcpConnector("::1", 4444)
    assert parse_connector("vsock:3:1234") == VsockConnector(3, 1234)
    assert parse_connector("serial:/dev/pts/7") == SerialConnector("/dev/pts/7")


def test_libvirt_endpoints_name_the_domain() -> None:
    def made(text: str) -> Channel:
        return make_channel(Address(text, "db1"), connect_timeout=10, reply_timeout=30)

    assert made("libvirt").endpoint == "libvirt domain db1 on qemu:///system"
    assert made("libvirt:io.netless.agent.0").endpoint == (
        "libvirt:io.netless.agent.0 of the domain db1 on qemu:///system"
    )
    with pytest.raises(InvalidRequest, match="libvirt:NAME"):
        made("libvirt:")


@pytest.mark.parametrize("text", ["libvirt", "libvirt:io.netless.agent.0"])
def test_libvirt_endpoint_needs_a_domain(text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{text} belongs to a libvirt domain, and no domain is given"):
        make_channel(Address(text), connect_timeout=10, reply_timeout=30)


@pytest.mark.parametrize("text", ["tcp:host", "vsock:any:1"])
def test_malformed_address_is_quoted_in_the_error(text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^'{text}' is not "):
        parse_connector(text)


@pytest.mark.parametrize(
    "text", ["", "unix", "unix:", "exec: ", "tcp:", "serial:", "/run/s", "UNIX:/run/s", "ftp:host", ":x"]
)
def test_unknown_endpoint_error_lists_the_valid_ones(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"unix:PATH or tcp:HOST:PORT .* or exec:COMMAND") as caught:
        parse_connector(text)
    assert str(caught.value).startswith(f"'{text}'")
