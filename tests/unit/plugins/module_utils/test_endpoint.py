# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users write as an endpoint."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils.endpoint import parse_endpoint
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest
from ansible_collections.netless.qga.plugins.module_utils.transports.exec import ExecEndpoint
from ansible_collections.netless.qga.plugins.module_utils.transports.unix import UnixEndpoint


@pytest.mark.parametrize("path", ["/run/vms/db1/qga.sock", "relative", "/with:colon and space", " /leading"])
def test_parses_sockets(path: str) -> None:
    endpoint = parse_endpoint(f"unix:{path}")
    assert isinstance(endpoint, UnixEndpoint) and endpoint.path == path
    assert endpoint.name == f"unix:{path}"


def test_parses_programs() -> None:
    endpoint = parse_endpoint("exec:ssh hv1 socat - UNIX:/run/s")
    assert isinstance(endpoint, ExecEndpoint) and endpoint.command == "ssh hv1 socat - UNIX:/run/s"
    assert endpoint.name == endpoint.exclusive_name == "exec:ssh hv1 socat - UNIX:/run/s"


@pytest.mark.parametrize("text", ["", "unix", "unix:", "exec: ", "/run/s", "UNIX:/run/s", "ftp:host", ":x"])
def test_refuses_the_rest_and_says_what_is_right(text: str) -> None:
    with pytest.raises(InvalidRequest, match="unix:PATH for a socket, or exec:COMMAND") as caught:
        parse_endpoint(text)
    assert str(caught.value).startswith(f"'{text}'")
