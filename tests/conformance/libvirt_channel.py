# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain of the lab whose agent is the scripted end, so that libvirt is between it and the client."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from ..lab import agents
from ..lab.libvirt_daemons import virsh
from ..lab.machine import AGENT_CHANNEL, RESTRICTED_CHANNEL
from . import guest_relay
from .channels import Channel

GUEST = "bookworm"
"""The guest of the lab."""

_DOMAIN = f"netless-{GUEST}"
_PORTS = [f"/dev/virtio-ports/{name}" for name in (AGENT_CHANNEL, RESTRICTED_CHANNEL)]
_UNIT = "netless-conformance-relay"
_PREPARE = f"""
systemctl stop qemu-guest-agent.service netless-agent@{RESTRICTED_CHANNEL}.service
systemctl --quiet stop {_UNIT}.service 2>/dev/null
cat >/run/{_UNIT}
systemd-run --quiet --collect --unit={_UNIT} python3 /run/{_UNIT} {" ".join(_PORTS)}"""
_STATE_TIMEOUT = 120.0
_RESTART_SECONDS = 0.5


class LibvirtDomain:
    """The domain of a running lab. Its agents on two of its channels are replaced by a relay.

    :param lab: the lab's directory.
    """

    def __init__(self, lab: pathlib.Path) -> None:
        self._socket = lab / GUEST / "restricted.sock"
        source = pathlib.Path(guest_relay.__file__).read_text(encoding="utf-8")
        agents.run(f"unix:{lab / GUEST / 'agent.sock'}", ["sh", "-c", _PREPARE], source)

    @contextlib.contextmanager
    def channel(self) -> Iterator[tuple[Channel, str]]:
        """Provide the channel of one case, and the name of the domain."""
        self._wait_until("disconnected")
        yield self, _DOMAIN

    def open(self, seconds: float) -> socket.socket | None:
        """Connect to the relay, as an agent that starts."""
        # The relay has to notice the end of the connection before this one.
        time.sleep(_RESTART_SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        try:
            connection.connect(str(self._socket))
            connection.sendall(guest_relay.START)
        except OSError:
            connection.close()
            return None
        return connection

    def wait(self) -> None:
        """Wait until libvirt has noticed the agent."""
        self._wait_until("connected")

    def _wait_until(self, state: str) -> None:
        deadline = time.monotonic() + _STATE_TIMEOUT
        while _channel_state() != state:
            if time.monotonic() > deadline:
                raise TimeoutError(f"libvirt does not report the agent of {_DOMAIN} as {state}")
            time.sleep(0.1)


def _channel_state() -> str | None:
    target = ET.fromstring(virsh("dumpxml", _DOMAIN)).find(f".//channel/target[@name='{AGENT_CHANNEL}']")
    return None if target is None else target.get("state")
