# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The start of a connection process, by the first task that needs it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._connection_process.process_socket import (
    ProcessSocket,
    short_name,
)
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.import_root import import_root
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_directory
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointBusy, EndpointUnavailable

_BACKLOG = 128
_RETRY_INTERVAL = 0.01

_SERVER = f"{__package__}.server"

# The first process ends at once, so that the second one is nobody's child and leaves no zombie. Without the new
# sys.path[0], Python would import what lies in the current directory.
_PROGRAM = f"""\
import os, sys
if os.fork():
    os._exit(0)
sys.path[0] = sys.argv[1]
from {_SERVER} import main
main()
"""


def connect_or_start(process_socket: ProcessSocket, deadline: Deadline) -> socket.socket:
    """Connect to the connection process, and start it if no other task has done so meanwhile.

    :raises EndpointBusy: other tasks start or use connection processes until the deadline.
    :raises EndpointUnavailable: the process cannot be started.
    """
    with contextlib.ExitStack() as stack, _starting(deadline):
        return process_socket.connect(deadline) or _start(process_socket, deadline, stack)


def _start(process_socket: ProcessSocket, deadline: Deadline, stack: contextlib.ExitStack) -> socket.socket:
    """Start the process, and connect to it.

    The socket listens before the process runs, so that nobody waits for the process to be ready.

    :param stack: waits for the first of the two processes in the end.
    """
    path = process_socket.path
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            with contextlib.suppress(FileNotFoundError):
                # Left by a process that was killed.
                os.unlink(path)
            with short_name(path) as name:
                listener.bind(name)
            # Nobody can connect before listen().
            os.chmod(path, 0o600)
            listener.listen(_BACKLOG)
            connection = process_socket.connect(deadline)
            if connection is None:
                raise EndpointUnavailable(f"{path}: somebody else removed the socket of the connection process")
            try:
                stack.enter_context(_spawn(process_socket, listener))
            except BaseException:
                connection.close()
                os.unlink(path)
                raise
            return connection
    except OSError as exc:
        raise EndpointUnavailable(
            f"{process_socket.config[0]}: cannot start the connection process: {exc.strerror or exc}. Correct that, or "
            f"do without it by setting the connection's option persist to 0"
        ) from exc


def _spawn(process_socket: ProcessSocket, listener: socket.socket) -> subprocess.Popen[bytes]:
    config = json.dumps(process_socket.config)
    return subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
        [sys.executable, "-c", _PROGRAM, import_root(), str(listener.fileno()), process_socket.path, config],
        cwd=process_socket.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )


@contextlib.contextmanager
def _starting(deadline: Deadline) -> t.Iterator[None]:
    """Hold the right to start connection processes, so that two tasks never start two for one address."""
    directory = os.open(runtime_directory(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if deadline.passed:
                    raise EndpointBusy("other tasks started connection processes all the time") from exc
                deadline.sleep(_RETRY_INTERVAL)
        yield
    finally:
        # Closing is enough: a process that is started meanwhile does not inherit the descriptor.
        os.close(directory)
