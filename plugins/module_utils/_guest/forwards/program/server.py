# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's end of forwards: it listens on the loopback interface, and carries connections to the controller.

The files of this room are one program for the guest's Python (see :mod:`..guest_end`), so they run on Python 3.8 and
import the standard library only. guest-exec starts it as the user that the agent runs as. Its directory belongs to this
user, and nobody else can look into it.

===========  =========================================================================================================
``in``       the FIFO into which the agent writes what the controller sends
``S.N``      part N of what session S sends to the controller, which has the agent read it. Each part has a fixed size,
             so that the controller knows where the next one begins. A part that was read is removed.
===========  =========================================================================================================

What the agent reads from a FIFO gets lost if there is less than it was asked for, so this direction uses files.

A session begins with the first byte of the controller. From then on the program listens. At the controller's GO_AWAY
it stops listening and answers with another one, but goes on with what is connected. At the second GO_AWAY the session
ends, and another one can follow. A GO_AWAY of the program itself has the port that it cannot listen on, and the error.

The program ends, and removes its directory, if no session begins for a time, if the controller sends nothing during a
session for a time, or if somebody removes its FIFO.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import glob
import os
import shutil
import socket
import sys
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.frames import Violation
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import (
    CONFIRMED,
    GONE_AWAY,
    MAX_STREAMS,
    Multiplexer,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.parts import Parts
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.relay import Relay

# Linux's commands for the capacity of a pipe, which Python has names for since 3.10, and the most that an ordinary user
# may ask for (pipe(7)).
_F_SETPIPE_SZ = 1031
_F_GETPIPE_SZ = 1032
_PIPE_SIZE = 1024 * 1024

# How often to look whether the FIFO is still there, in seconds.
_LOOK_INTERVAL = 0.5

# How long another program may keep a port that it has just used, in seconds, and how often to try.
_BIND_TIMEOUT = 3.0
_BIND_INTERVAL = 0.05

# How much the controller may have left unread, in bytes. It is less than a part, so that a part is read when the next
# one is full.
_MAX_UNCONFIRMED = 4 * 1024 * 1024

_QUEUE_LENGTH = 128


class Session:
    """One session with the controller.

    :param fifo: the open FIFO.
    :param parts: takes what is sent.
    :param ports: where to listen.
    """

    def __init__(self, fifo: int, parts: Parts, ports: list[int]) -> None:
        self._fifo = fifo
        self._parts = parts
        self._multiplexer = Multiplexer(is_client=False)
        self._relay = Relay(self._multiplexer)
        self._relay.watch(fifo, self._receive)
        self._listeners: list[socket.socket] = []
        self._is_listening = False
        # The pings that the controller has not answered, and how many bytes each confirms.
        self._unconfirmed: dict[int, int] = {}
        self._last_heard = time.monotonic()
        self._gone_away = 0
        try:
            for port in ports:
                self._listeners.append(_listen(port))
        except OSError as exc:
            self._close_listeners()
            self._multiplexer.go_away(port << 16 | (exc.errno or errno.EIO))

    def run(self, lease: float, is_wanted: t.Callable[[], bool]) -> bool:
        """Run the session.

        :param lease: how long the controller may be silent, in seconds.
        :param is_wanted: returns whether the program is to go on.
        :returns: whether the session has come to its normal end.
        """
        while self._gone_away < 2:
            if time.monotonic() - self._last_heard > lease or not is_wanted():
                return False
            self._accept_while_possible()
            self._relay.run(_LOOK_INTERVAL)
            self._send()
        self._relay.close()
        return True

    def close(self) -> None:
        """Close all sockets."""
        self._close_listeners()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fifo, _PIPE_SIZE)
            self._last_heard = time.monotonic()
            for event in self._multiplexer.receive_data(data):
                if event.kind == CONFIRMED:
                    # Those that it confirms at the same time stand before it.
                    for number in list(self._unconfirmed):
                        del self._unconfirmed[number]
                        if number == event.number:
                            break
                elif event.kind == GONE_AWAY:
                    self._gone_away += 1
                    self._close_listeners()
                    self._multiplexer.go_away()
                else:
                    self._relay.handle(event)

    def _send(self) -> None:
        unconfirmed = sum(self._unconfirmed.values())
        while self._multiplexer.backlog and unconfirmed < _MAX_UNCONFIRMED:
            data, ping = self._multiplexer.take(_MAX_UNCONFIRMED - unconfirmed)
            if not data:
                return
            self._parts.write(data)
            if ping:
                self._unconfirmed[ping] = len(data)
                unconfirmed += len(data)

    def _accept_while_possible(self) -> None:
        """Watch the listening sockets unless there are as many streams as possible."""
        can_accept = bool(self._listeners) and len(self._multiplexer.streams) < MAX_STREAMS
        if can_accept == self._is_listening:
            return
        self._is_listening = can_accept
        for listener in self._listeners:
            if can_accept:
                self._relay.watch(listener, functools.partial(self._accept, listener))
            else:
                self._relay.unwatch(listener)

    def _accept(self, listener: socket.socket) -> None:
        if len(self._multiplexer.streams) >= MAX_STREAMS:
            return
        with contextlib.suppress(OSError):
            connected = listener.accept()[0]
            stream = self._multiplexer.open()
            self._multiplexer.send(stream, listener.getsockname()[1].to_bytes(2, "big"))
            self._relay.attach(stream, connected)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            if self._is_listening:
                self._relay.unwatch(listener)
            listener.close()
        self._listeners, self._is_listening = [], False


def _listen(port: int) -> socket.socket:
    """Listen on a port of the loopback interface."""
    deadline = time.monotonic() + _BIND_TIMEOUT
    while True:
        listener = socket.socket()
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(_QUEUE_LENGTH)
        except OSError as exc:
            listener.close()
            # An earlier program of the same forwards may be about to end.
            if exc.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(_BIND_INTERVAL)
        else:
            return listener


def _remove_left(pattern: str) -> None:
    """Remove the directories of programs that were killed: nobody has their FIFO open."""
    for directory in glob.glob(pattern):
        try:
            status = os.lstat(directory)
            if status.st_uid == os.geteuid():
                os.close(os.open(f"{directory}/in", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                shutil.rmtree(directory, ignore_errors=True)


def _create_directory(name: str, bases: list[str], room: int) -> str:
    """Create the directory in the first base that has room, and return its path."""
    error = OSError(errno.ENOENT, "no directory for temporary files")
    for base in bases:
        directory = f"{base}/{name}"
        try:
            os.mkdir(directory, 0o700)
            with open(f"{directory}/room", "wb") as file:
                file.write(bytes(room))
            os.unlink(f"{directory}/room")
            os.mkfifo(f"{directory}/in", 0o600)
        except OSError as exc:
            error = exc
            shutil.rmtree(directory, ignore_errors=True)
        else:
            return directory
    raise error


def serve(directory: str, fifo: int, ports: list[int], limits: dict[str, float]) -> None:
    """Run sessions until one ends otherwise than it should, or none begins.

    :param ports: where to listen.
    :param limits: ``idle`` and ``lease`` in seconds, and ``part``, the size of parts in bytes.
    """

    def is_wanted() -> bool:
        return os.path.exists(f"{directory}/in")

    number = 0
    parts = Parts(f"{directory}/{number}", int(limits["part"]))
    while True:
        waiting = Relay(Multiplexer(is_client=False))
        waiting.watch(fifo, lambda: None)
        end = time.monotonic() + limits["idle"]
        while not waiting.run(_LOOK_INTERVAL):
            if time.monotonic() > end or not is_wanted():
                return
        waiting.close()
        session = Session(fifo, parts, ports)
        try:
            if not session.run(limits["lease"], is_wanted):
                return
        finally:
            session.close()
        parts.close()
        number += 1
        parts = Parts(f"{directory}/{number}", int(limits["part"]))
        for path in glob.glob(f"{directory}/{number - 1}.*"):
            os.unlink(path)


def main(name: str, bases: list[str], ports: list[int], limits: dict[str, float]) -> None:
    """Start the program in the background, and print where its directory is and what its FIFO holds.

    :param name: the name of its directory.
    :param bases: the directories that this may be in.
    :param ports: see :func:`serve`.
    :param limits: see :func:`serve`, and ``room``: how many bytes a base has to have.
    """
    if sys.platform != "linux":
        raise SystemExit("remote forwards need Linux in the guest")
    os.umask(0o077)
    for base in bases:
        _remove_left(f"{base}/netless-qga.*.forwards")
    try:
        directory = _create_directory(name, bases, int(limits["room"]))
    except OSError as exc:
        raise SystemExit(f"the guest has no place for the files of forwards: {exc}") from exc
    fifo = os.open(f"{directory}/in", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    # A user that has many pipes gets no larger one.
    with contextlib.suppress(OSError):
        fcntl.fcntl(fifo, _F_SETPIPE_SZ, _PIPE_SIZE)
    page = os.sysconf("SC_PAGE_SIZE")
    pages = fcntl.fcntl(fifo, _F_GETPIPE_SZ) // page
    sys.stdout.write(f"forwards {os.path.dirname(directory)} {pages} {page}\n")
    sys.stdout.flush()
    if os.fork():
        os._exit(0)
    try:
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as file:
            file.write("netless-qga")
        with contextlib.suppress(Violation, OSError):
            serve(directory, fifo, ports, limits)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(0)
