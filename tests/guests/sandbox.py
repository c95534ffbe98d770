# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real qemu-ga in a guest without a network that is no virtual machine: a sandbox of namespaces.

The sandbox has its own mounts, processes and host name, and a network with only a loopback device. It runs a root tree
(see :mod:`trees`; needs root) or the machine's own system, which ordinary users can run too. What it changes is kept in
memory and lost with the sandbox. The agent refuses commands that would affect the machine, such as freezing and
shutting down.

As a program: ``sandbox.py start --state DIR`` starts one in the background and prints its endpoint, ``sandbox.py stop
--state DIR`` ends it, and ``sandbox.py run --state DIR`` stays in the foreground.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import NoReturn

_HERE = pathlib.Path(__file__).resolve().parent
_NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
# The shell outlives this process. However this process ends, process 1 of the sandbox ends at the end of its input, and
# the shell then removes the directory.
_RUN_AND_REMOVE = 'directory=$1; shift; "$@"; rm -rf --one-file-system "$directory"'
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0


class SandboxedAgent:
    """A running qemu-ga on a Unix socket. It ends with the ``with`` block, or with this process if that dies first.

    :param tree: root tree to run; None is the machine's own system.
    :param run_as: name of the guest's user that the agent runs as.
    :param blocked: commands that the agent refuses in addition to those it always refuses.
    :param environment: the agent's environment; a default PATH is added if it has none.
    :raises PermissionError: on entering: only root can run a tree.
    :raises RuntimeError: on entering: the agent did not start; the message has what was printed.
    """

    def __init__(
        self,
        tree: str | os.PathLike[str] | None = None,
        *,
        run_as: str = "root",
        blocked: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._guest = {
            "tree": None if tree is None else os.fspath(tree),
            "user": run_as,
            "blocked": list(blocked),
            "environment": {"LANG": "C.UTF-8"} if environment is None else dict(environment),
        }
        self._directory = pathlib.Path()
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.pid = 0
        """The process id of qemu-ga on the machine."""

    @property
    def socket_path(self) -> str:
        """The agent's socket. It serves one client at a time."""
        return str(self._directory / "channel" / "agent.sock")

    @property
    def endpoint(self) -> str:
        """The socket in the notation of ``ansible_qga_endpoint``."""
        return f"unix:{self.socket_path}"

    def __enter__(self) -> SandboxedAgent:
        if self._guest["tree"] is not None and os.geteuid() != 0:
            raise PermissionError("only root can run a root tree; without a tree, the machine's own system is run")
        # Not the caller's TMPDIR: the path of a socket has to be shorter than 108 bytes.
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="qga-", dir="/tmp"))
        try:
            self._start_sandbox()
            self.start_agent()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def start_agent(self, *, is_shared: bool = False) -> None:
        """Start qemu-ga, at first and again after :meth:`kill_agent`, and wait until it answers.

        :param is_shared: wait only until it listens, because another client may have taken the channel by then.
        :raises RuntimeError: it did not answer within 20 seconds.
        """
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the sandbox does not run")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("start\n")
            self._process.stdin.flush()
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.pid = _handshake(self.socket_path, deadline, ask=not is_shared)
            except OSError:
                time.sleep(0.02)
            else:
                return
        self._log.seek(0)
        raise RuntimeError(f"no guest agent answers on {self.socket_path}\n{self._log.read()}".strip())

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send qemu-ga a signal and wait until it has ended. Programs that it has started go on.

        SIGTERM can hang it: its handler takes a lock that the main loop may hold while it closes a connection.

        :raises ProcessLookupError: it is not running.
        :raises TimeoutError: it is still running after 5 seconds.
        """
        process = os.pidfd_open(self.pid)
        try:
            signal.pidfd_send_signal(process, number)
            if not select.select([process], [], [], _STOP_TIMEOUT)[0]:
                raise TimeoutError(f"the agent, process {self.pid}, does not end on {number.name}")
        finally:
            os.close(process)

    def _start_sandbox(self) -> None:
        for name in ("channel", "mounts"):
            (self._directory / name).mkdir()
        user_namespace = os.geteuid() != 0
        config = {**self._guest, "directory": str(self._directory), "user_namespace": user_namespace}
        namespaces = [*_NAMESPACES, *(["--user", "--map-root-user"] if user_namespace else [])]
        command = ["unshare", *namespaces, sys.executable, "-I", "-S", str(_HERE / "guest_init.py"), json.dumps(config)]
        self._process = subprocess.Popen(
            ["sh", "-c", _RUN_AND_REMOVE, "sh", str(self._directory), *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            text=True,
            # Ctrl-C in the terminal goes to this process, which then ends the sandbox in order.
            start_new_session=True,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"},
        )

    def _end(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                # unshare ends process 1, and the kernel everything else.
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def _handshake(path: str, deadline: float, *, ask: bool) -> int:
    """Return the process id of the agent that listens on a socket.

    :param deadline: the end of the wait, in seconds of the monotonic clock.
    :param ask: whether the agent has to answer, too.
    :raises OSError: no agent listens, or answers.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(max(0.01, deadline - time.monotonic()))
        client.connect(path)
        if ask:
            _synchronize(client)
        pid, dummy, dummy = struct.unpack(
            "3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
    return int(pid)


def _synchronize(client: socket.socket) -> None:
    number = secrets.randbits(62)
    client.sendall(b"\xff" + json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}}).encode())
    received = b""
    while not received.endswith(b'\xff{"return": %d}\n' % number):
        chunk = client.recv(4096)
        if not chunk:
            raise ConnectionResetError("the agent closed the connection")
        received += chunk


def _end_by_exception(number: int, frame: object) -> NoReturn:
    # A second signal must not interrupt the cleanup.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


@contextlib.contextmanager
def _claimed(state: pathlib.Path) -> Iterator[None]:
    """Hold the lock on the state directory's pidfile, which shows that the process in it is running."""
    state.mkdir(parents=True, exist_ok=True)
    pidfile = state / "sandbox.pid"
    with open(pidfile, "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"sandbox.py: a sandbox is already running in {state}")
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        try:
            yield
        finally:
            pidfile.unlink(missing_ok=True)


def run(options: argparse.Namespace) -> None:
    """Run a sandbox until a signal comes or the process of ``--while-pid`` ends; print the endpoint once it is up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end_by_exception)
    # A signal that comes just before select would otherwise not end it.
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    waited_for = [woken.fileno(), *([] if options.while_pid is None else [os.pidfd_open(options.while_pid)])]
    tree = None
    if options.suite is not None:
        trees = [sys.executable, str(_HERE / "trees.py"), options.suite]
        tree = subprocess.run(trees, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    blocked = filter(None, options.block.split(","))
    with _claimed(options.state), SandboxedAgent(tree, run_as=options.user, blocked=blocked) as agent:
        print(agent.endpoint, flush=True)
        select.select(waited_for, [], [])


def start(options: argparse.Namespace) -> None:
    """Start ``run`` in the background, and print the endpoint when the agent answers."""
    options.state.mkdir(parents=True, exist_ok=True)
    log = options.state / "sandbox.log"
    with open(log, "w", encoding="utf-8") as errors:
        command = [sys.executable, __file__, "run", *sys.argv[2:]]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    endpoint = process.stdout.readline() if process.stdout is not None else ""
    if not endpoint:
        process.wait()
        sys.exit(log.read_text(encoding="utf-8").strip())
    print(endpoint, end="")


def stop(options: argparse.Namespace) -> None:
    """End what ``start`` started, if anything."""
    pidfile = options.state / "sandbox.pid"
    deadline = time.monotonic() + 2 * _STOP_TIMEOUT
    with contextlib.suppress(FileNotFoundError), open(pidfile, encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                if (pid := file.read().strip()) != "":
                    os.kill(int(pid), signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
                time.sleep(0.1)
            else:
                pidfile.unlink(missing_ok=True)
                return


def main(arguments: list[str]) -> None:
    """Run the program's command line."""
    parser = argparse.ArgumentParser(description="Run the real qemu-ga in a sandbox without a network.")
    commands = parser.add_subparsers(required=True)
    for function in (run, start, stop):
        command = commands.add_parser(function.__name__, help=(function.__doc__ or "").partition("\n")[0])
        command.set_defaults(function=function)
        command.add_argument("--state", type=pathlib.Path, required=True, help="directory for the pidfile and the log")
        if function is not stop:
            command.add_argument("--suite", help="Debian suite to run; without it the machine's own system")
            command.add_argument("--user", default="root", help="the guest's user that the agent runs as")
            command.add_argument("--block", default="", help="more commands to refuse, separated by commas")
            command.add_argument("--while-pid", type=int, help="end as soon as this process has ended")
    options = parser.parse_args(arguments)
    try:
        options.function(options)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"sandbox.py: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
