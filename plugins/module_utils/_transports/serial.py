# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``serial:DEVICE``: a pseudo-terminal of QEMU (``-chardev pty``), or a real serial line."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import termios
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports import descriptor
from ansible_collections.netless.qga.plugins.module_utils._transports.os_error import unreachable_reason
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    Unreachable,
    UnreachableReason,
)

_RETRY_INTERVAL = 0.05

# Indexes into what termios.tcgetattr returns.
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6

_CURES = {
    errno.ENOENT: "no such device. Is the VM running? QEMU may get another terminal at each start",
    errno.EACCES: "permission denied. Run Ansible as a user who may read and write the device, or use become on the "
    "host that has it",
    errno.EBUSY: "another program has opened the device for exclusive use",
    errno.EIO: "there is no hardware behind the device, or QEMU has closed the terminal",
    errno.ENXIO: "there is no hardware behind the device",
    errno.ENODEV: "there is no hardware behind the device",
    errno.EISDIR: "not a serial device",
    errno.ENOTTY: "not a serial device",
}


@dataclass(frozen=True)
class SerialConnector:
    """A serial device, at its present speed.

    :param path: the device.
    """

    path: str
    # Takes six seconds at the 38400 bit/s that qemu-ga sets, and at 9600 still less than the reply timeout.
    chunk: int = 16 * 1024

    @property
    def name(self) -> str:
        return f"serial:{self.path}"

    @property
    def lock_key(self) -> str:
        return f"serial:{os.path.realpath(self.path)}"

    def connect(self, deadline: Deadline) -> SerialTransport:
        """Open the device, wait until no other program has it locked, and put it into raw mode."""
        try:
            # O_NONBLOCK: do not wait for a carrier. O_NOCTTY: as our controlling terminal it could stop us by Ctrl-C.
            device = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as exc:
            raise self._unavailable(exc.errno or 0, str(exc.strerror), reason=unreachable_reason(exc)) from exc
        try:
            settings = termios.tcgetattr(device)
            self._lock(device, deadline)
            termios.tcsetattr(device, termios.TCSANOW, _raw(settings))
            # The terminal may have altered what arrived before.
            termios.tcflush(device, termios.TCIFLUSH)
        except termios.error as exc:
            os.close(device)
            raise self._unavailable(*exc.args) from exc
        except BaseException:
            os.close(device)
            raise
        return SerialTransport(self.name, device, settings)

    def _lock(self, device: int, deadline: Deadline) -> None:
        while True:
            try:
                # Unlike a lock file this lock ends with its holder, and unlike TIOCEXCL it applies to root.
                return fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                if deadline.passed:
                    raise EndpointBusy(
                        f"{self.name}: another program has the device locked. 'fuser -v {self.path}' shows which one"
                    ) from exc
                deadline.sleep(_RETRY_INTERVAL)

    def _unavailable(
        self, number: int, text: str, *, reason: UnreachableReason = UnreachableReason.UNKNOWN
    ) -> EndpointUnavailable:
        return EndpointUnavailable(f"{self.name}: {_CURES.get(number, text)}", reason=reason)


class SerialTransport:
    """An open serial device.

    :param endpoint: the endpoint as the user wrote it, for messages.
    :param settings: the device's original settings from :func:`termios.tcgetattr`, which are restored at the end.
    """

    def __init__(self, endpoint: str, device: int, settings: list[t.Any]) -> None:
        self._endpoint = endpoint
        self._device = device
        self._settings = settings
        self._is_open = True

    def send(self, data: bytes, deadline: Deadline) -> None:
        descriptor.send(self._device, data, deadline)

    def receive(self, deadline: Deadline) -> bytes:
        return descriptor.receive(self._device, deadline)

    def no_reply_error(self) -> Unreachable:
        return AgentSilent(
            f"{self._endpoint}: the device is open, but no guest agent answers. Is the guest up, and "
            f"qemu-guest-agent running in it with --method=isa-serial on this line, at the speed of the device? Does "
            f"another program read it too, or does a login prompt run on it?"
        )

    def closed_error(self) -> Unreachable:
        return ChannelClosed(
            f"{self._endpoint}: the other side of the line is gone. Did the VM stop?",
            reason=UnreachableReason.CLOSED,
        )

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        # The other side may be gone.
        with contextlib.suppress(termios.error):
            # Unread output would make close() wait.
            termios.tcflush(self._device, termios.TCIOFLUSH)
            termios.tcsetattr(self._device, termios.TCSANOW, self._settings)
        # Unlock explicitly: a process forked meanwhile has the descriptor too, and would keep the lock.
        fcntl.flock(self._device, fcntl.LOCK_UN)
        os.close(self._device)


def _raw(settings: list[t.Any]) -> list[t.Any]:
    """Return settings that pass each byte unchanged: no echo, signals or flow control by bytes, 0xFF not doubled."""
    raw = list(settings)
    raw[_IFLAG] = raw[_OFLAG] = raw[_LFLAG] = 0
    # Ignore the modem's signals: neither wait for a carrier nor hang up at the end.
    raw[_CFLAG] &= ~(termios.CSIZE | termios.PARENB | termios.HUPCL)
    raw[_CFLAG] |= termios.CS8 | termios.CREAD | termios.CLOCAL
    raw[_CC] = list(raw[_CC])
    raw[_CC][termios.VMIN], raw[_CC][termios.VTIME] = 1, 0
    return raw
