# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``vsock:CID:PORT``: an agent that listens itself, ``qemu-ga --method=vsock-listen``."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports import stream_socket
from ansible_collections.netless.qga.plugins.module_utils._transports.os_error import unreachable_reason
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointUnavailable,
    InvalidRequest,
    Unreachable,
)

_CID_AND_PORT = re.compile(r"(?P<cid>[0-9]{1,10}):(?P<port>[0-9]{1,10})", re.ASCII)

# VMADDR_CID_ANY and VMADDR_PORT_ANY (vsock(7)), which are not destinations. CID 0 is reserved.
_ANY = 0xFFFFFFFF

_NO_VSOCK = (
    "this machine has no vsock; it needs Linux with the kernel module vsock, on the host of the VM. From another "
    "machine use exec: with a program that relays to that host"
)

_CURES = {
    errno.EAFNOSUPPORT: _NO_VSOCK,
    errno.ENODEV: "there is no VM of this CID on this machine. Is it running, does it have a vhost-vsock device, and "
    "is the kernel module vhost_vsock loaded?",
    errno.ECONNRESET: "nobody listens on the port in the guest. Is its qemu-guest-agent running with "
    "--method=vsock-listen?",
    errno.ETIMEDOUT: "nothing answers. Is there a VM of this CID, and is the guest up?",
    errno.EACCES: "permission denied; this user may not make vsock connections on this system",
}


@dataclass(frozen=True)
class VsockConnector:
    """A vsock port of a guest on this machine.

    :param cid: the guest's context id.
    """

    cid: int
    port: int
    chunk: int = 1024 * 1024

    @classmethod
    def parse(cls, text: str) -> VsockConnector:
        """Parse the endpoint of a user.

        :param text: ``CID:PORT``.
        :raises InvalidRequest: it has another form.
        """
        parts = _CID_AND_PORT.fullmatch(text)
        cid, port = (int(parts["cid"]), int(parts["port"])) if parts else (0, 0)
        if not 0 < cid < _ANY or not 0 < port < _ANY:
            raise InvalidRequest(
                f"'vsock:{text}' is not vsock:CID:PORT: both are numbers from 1 to {_ANY - 1}, and the CID is that of "
                f"the guest"
            )
        return cls(cid, port)

    @property
    def name(self) -> str:
        return f"vsock:{self.cid}:{self.port}"

    @property
    def lock_key(self) -> str:
        return self.name

    def connect(self, deadline: Deadline) -> stream_socket.StreamSocket:
        """Connect to the agent, which listens in the guest."""
        family = getattr(socket, "AF_VSOCK", None)
        if family is None:
            raise EndpointUnavailable(f"{self.name}: {_NO_VSOCK}")
        try:
            channel = stream_socket.connect(family, (self.cid, self.port), deadline)
        except OSError as exc:
            # The TimeoutError of our own deadline has no errno.
            cure = _CURES.get(exc.errno or errno.ETIMEDOUT, str(exc.strerror))
            raise EndpointUnavailable(f"{self.name}: {cure}", reason=unreachable_reason(exc)) from exc
        return stream_socket.StreamSocket(self.name, channel, self._no_reply_error)

    def _no_reply_error(self) -> Unreachable:
        return AgentSilent(
            f"{self.name}: connected, but no guest agent answers. Is this its port? An agent serves one client at a "
            f"time: if another one is connected, it is served first"
        )
