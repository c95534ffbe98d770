# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The socket on which a connection process serves the tasks of one address."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import struct
import sys
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._connection_process.messages import VERSION
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.import_root import import_root
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_directory
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointBusy, EndpointUnavailable

# sizeof(sockaddr_un.sun_path) on Linux, without the NUL (unix(7)).
_MAX_PATH = 107
_RETRY_INTERVAL = 0.01

# Variables of a shell that differ from one command line to the next.
_VOLATILE = ("OLDPWD", "SHLVL", "_")


class ProcessSocket:
    """The socket of the connection process for one address.

    :param address: where the agent is. Its endpoint may be relative to the current directory.
    """

    def __init__(self, address: Address) -> None:
        self._endpoint = address.endpoint
        kind, rest = address.endpoint.partition(":")[::2]
        has_path = kind in ("unix", "serial") and not os.path.isabs(rest)
        #: The directory that the process has to run in.
        self.cwd = os.getcwd() if kind == "exec" or has_path or (address.uses_libvirt and "?" in address.uri) else "/"
        # A program, libvirt and its ssh may read any variable. A socket or a device is the same in every environment.
        environment = (
            {name: value for name, value in os.environ.items() if name not in _VOLATILE}
            if kind == "exec" or address.uses_libvirt
            else {}
        )
        place = [address.domain, address.uri] if address.uses_libvirt else []
        #: The parameters of the :class:`Address` that matter.
        self.config = [address.endpoint, *place]
        identity = [VERSION, import_root(), sys.executable, self.config, self.cwd, sorted(environment.items())]
        self._name = hashlib.sha256(json.dumps(identity).encode("ascii")).hexdigest()[:32] + ".sock"

    @property
    def path(self) -> str:
        """The path of the socket.

        :raises EndpointUnavailable: its directory cannot be created, or is not a directory of this user.
        """
        return os.path.join(runtime_directory(), self._name)

    def connect(self, deadline: Deadline) -> socket.socket | None:
        """Connect to the process; return None if there is none.

        :raises EndpointBusy: too many tasks wait for the process until the deadline.
        :raises EndpointUnavailable: the process cannot be reached, or is another user's.
        """
        path = self.path
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.setblocking(False)
            while True:
                try:
                    with short_name(path) as name:
                        connection.connect(name)
                    break
                except BlockingIOError as exc:
                    # As many as the backlog has room for are waiting.
                    if deadline.passed:
                        raise EndpointBusy(
                            f"{self._endpoint}: the connection process had no time for another task"
                        ) from exc
                    deadline.sleep(_RETRY_INTERVAL)
            check_peer(connection)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as exc:
            connection.close()
            raise EndpointUnavailable(f"cannot connect to the connection process at {path}: {exc.strerror}") from exc
        except BaseException:
            connection.close()
            raise
        return connection


def check_peer(connection: socket.socket) -> None:
    """Check that the process at the other end of a socket is this user's.

    :raises PermissionError: it is another user's.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", credentials)[1]
    if uid != os.geteuid():
        raise PermissionError(0, f"the process at the other end runs as the user {uid}")


@contextlib.contextmanager
def short_name(path: str) -> t.Iterator[str]:
    """Yield a name of a socket's path that is short enough for the address of a socket."""
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield path
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
