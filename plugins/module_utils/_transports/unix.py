# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``unix:PATH``: the socket of a QEMU chardev, or of ``qemu-ga --method=unix-listen``."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import stat
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.os_error import unreachable_reason
from ansible_collections.netless.qga.plugins.module_utils._transports.stream_socket import StreamSocket
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointBusy,
    EndpointUnavailable,
    Unreachable,
    UnreachableReason,
)

# sizeof(sockaddr_un.sun_path) on Linux, without the NUL (unix(7)).
_MAX_PATH = 107

_RETRY_INTERVAL = 0.05

_CURES = {
    errno.ENOENT: "no such socket. Is the VM running, and is this the path of its chardev?",
    errno.ENOTDIR: "no such socket. Is the VM running, and is this the path of its chardev?",
    errno.EACCES: "permission denied. Run Ansible as a user who may read and write the socket (for a VM of libvirt: "
    "root or libvirt-qemu), or use become on the host that owns it",
    errno.ECONNREFUSED: "nobody listens on the socket. Is the VM running?",
    errno.ENOTSOCK: "not a socket",
    errno.EPROTOTYPE: "not a stream socket",
}

_HELD = (
    "another client holds the socket, which serves one at a time: libvirt keeps the agent sockets of its own domains "
    "open as long as they run, and another tool or another user's play may do the same"
)


@dataclass(frozen=True)
class UnixConnector:
    """A Unix stream socket.

    :param path: its path on this machine.
    """

    path: str
    chunk: int = 1024 * 1024

    @property
    def name(self) -> str:
        return f"unix:{self.path}"

    @property
    def lock_key(self) -> str:
        return f"unix:{os.path.realpath(self.path)}"

    def connect(self, deadline: Deadline) -> StreamSocket:
        """Connect, and if the queue of the socket is full, wait for a place in it."""
        if len(os.fsencode(self.path)) > _MAX_PATH:
            raise EndpointUnavailable(
                f"{self.name}: the path is longer than the {_MAX_PATH} bytes that the path of a Unix socket may have; "
                f"use a shorter one, or a symbolic link"
            )
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.setblocking(False)
        try:
            self._connect(channel, deadline)
        except BaseException:
            channel.close()
            raise
        return StreamSocket(self.name, channel, functools.partial(self._no_reply_error, channel))

    def _connect(self, channel: socket.socket, deadline: Deadline) -> None:
        while True:
            try:
                return channel.connect(self.path)
            except BlockingIOError as exc:
                # The queue is full.
                if deadline.passed:
                    raise EndpointBusy(f"{self.name}: {_HELD}") from exc
                deadline.sleep(_RETRY_INTERVAL)
            except OSError as exc:
                cure = _CURES.get(exc.errno or 0, str(exc.strerror))
                raise EndpointUnavailable(f"{self.name}: {cure}", reason=self._reason(exc)) from exc

    def _reason(self, error: OSError) -> UnreachableReason:
        """Return what an error of connect(2) proves. Linux answers ECONNREFUSED for a file that is no socket, too."""
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.stat(self.path).st_mode):
                return UnreachableReason.UNKNOWN
        if error.errno == errno.ECONNREFUSED:
            return UnreachableReason.LEFT_BEHIND
        return unreachable_reason(error)

    def _no_reply_error(self, channel: socket.socket) -> Unreachable:
        from ansible_collections.netless.qga.plugins.module_utils._transports.unix_diag import waits_in_queue

        if waits_in_queue(channel):
            return EndpointBusy(f"{self.name}: {_HELD}")
        return AgentSilent(
            f"{self.name}: the socket is open, but no guest agent answers. Is the guest up, and qemu-guest-agent "
            f"running in it on this channel? If another client holds the socket, it is served first"
        )
