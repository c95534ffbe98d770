# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``exec:COMMAND``: a program whose standard input and output are the channel, like ssh's ProxyCommand."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports import descriptor
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointUnavailable,
    Unreachable,
)

_END_TIMEOUT = 1.0
_MAX_ERROR_OUTPUT = 500

_CURES = {
    errno.ENOENT: "there is no such program, or its interpreter is missing. Install it on the host where this runs, or "
    "write its whole path",
    errno.EACCES: "it is not an executable file for this user. Correct the path, make the program executable with "
    "chmod +x, or run Ansible as a user who may execute it",
    errno.ENOEXEC: "it is neither a binary for this host, nor a script whose first line names its interpreter",
}


@dataclass(frozen=True)
class ExecConnector:
    """A program that relays bytes to an agent.

    :param command: the program and its arguments, quoted as for a shell; no shell runs it.
    """

    command: str
    chunk: int = 1024 * 1024

    @property
    def name(self) -> str:
        return f"exec:{self.command}"

    @property
    def lock_key(self) -> str:
        return self.name

    def connect(self, deadline: Deadline) -> ExecTransport:
        """Start the program."""
        argv = self._split()
        # A file and not a pipe: it need not be drained, and the program cannot block on it.
        try:
            stderr = tempfile.TemporaryFile()
        except OSError as exc:
            raise EndpointUnavailable(f"{self.name}: no place for the program's error output: {exc.strerror}") from exc
        try:
            # Not AnsibleModule's run_command, which waits for the end: this program runs as long as the channel.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0
            )
        except (OSError, ValueError) as exc:
            stderr.close()
            number = exc.errno if isinstance(exc, OSError) else None
            cure = _CURES.get(number or 0) or (os.strerror(number) if number else str(exc))
            raise EndpointUnavailable(f"{self.name}: cannot start the program {argv[0]!r}: {cure}") from exc
        return ExecTransport(self.name, process, stderr)

    def _split(self) -> list[str]:
        try:
            argv = shlex.split(self.command)
        except ValueError as exc:
            raise EndpointUnavailable(f"{self.name}: cannot split the command into words: {exc}") from exc
        if not argv:
            raise EndpointUnavailable(f"{self.name}: the command is empty. Write a program and its arguments")
        return argv


class ExecTransport:
    """A running relay program.

    Its errors carry no reason: how the program ends proves nothing about the agent that it leads to.

    :param endpoint: the endpoint as the user wrote it, for messages.
    :param stderr: the file with the program's standard error.
    """

    def __init__(self, endpoint: str, process: subprocess.Popen[bytes], stderr: t.IO[bytes]) -> None:
        self._endpoint = endpoint
        self._process = process
        self._stderr = stderr
        self._stdin, self._stdout = t.cast(t.IO[bytes], process.stdin), t.cast(t.IO[bytes], process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)

    def send(self, data: bytes, deadline: Deadline) -> None:
        descriptor.send(self._stdin.fileno(), data, deadline)

    def receive(self, deadline: Deadline) -> bytes:
        return descriptor.receive(self._stdout.fileno(), deadline)

    def no_reply_error(self) -> Unreachable:
        return AgentSilent(
            f"{self._endpoint}: the program runs, but no guest agent answers through it. Is the guest up, "
            f"qemu-guest-agent running in it, and the channel not held by another client?{self._error_output()}"
        )

    def closed_error(self) -> Unreachable:
        try:
            how = f"the program ended with status {self._process.wait(_END_TIMEOUT)}"
        except subprocess.TimeoutExpired:
            how = "the program closed its output"
        return ChannelClosed(f"{self._endpoint}: {how}.{self._error_output()}")

    def close(self) -> None:
        if self._stderr.closed:
            return
        self._stdin.close()
        self._stdout.close()
        self._process.terminate()
        try:
            self._process.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _error_output(self) -> str:
        """Return the end of what the program wrote to its standard error, in a form to be appended to a message."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _MAX_ERROR_OUTPUT))
        text = self._stderr.read().decode("utf-8", errors="replace").strip()
        return f" It reported: {text}" if text else ""
