# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``serial:DEVICE``: a terminal of QEMU's (``-chardev pty``), or a real serial line."""

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

_RETRY_SECONDS = 0.05

# Indexes into what termios.tcgetattr returns.
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6

_CURES = {
    errno.ENOENT: "no such device. Is the VM running? QEMU may get another terminal each time it starts",
    errno.EACCES: "permission denied. Run Ansible as a user who may read and write the device, or use become on the "
    "host that has it",
    errno.EBUSY: "another program has the device for itself",
    errno.EIO: "there is no hardware behind the device, or QEMU has closed the terminal",
    errno.ENXIO: "there is no hardware behind the device",
    errno.ENODEV: "there is no hardware behind the device",
    errno.EISDIR: "not a serial device",
    errno.ENOTTY: "not a serial device",
}


@dataclass(frozen=True)
class SerialConnector:
    """A serial device, at the speed that it is set to.

    :param path: the device.
    """

    path: str
    # Six seconds of a line with the 38400 bit/s that qemu-ga sets, and with 9600 still less than the reply timeout.
    chunk: int = 16 * 1024

    @property
    def name(self) -> str:
        return f"serial:{self.path}"

    @property
    def lock_key(self) -> str:
        return f"serial:{os.path.realpath(self.path)}"

    def connect(self, deadline: Deadline) -> SerialTransport:
        """Open the device, wait until no other program has it locked, and make it pass every byte as it is."""
        try:
            # One that waits for a carrier would not return; one that is our terminal could stop us by Ctrl-C.
            device = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as exc:
            raise self._unavailable(exc.errno or 0, str(exc.strerror), reason=unreachable_reason(exc)) from exc
        try:
            settings = termios.tcgetattr(device)
            self._lock(device, deadline)
            termios.tcsetattr(device, termios.TCSANOW, _raw(settings))
            # What came before that may have been altered.
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
                # Other than a lock file this one is gone with its holder, and other than TIOCEXCL it holds for root.
                return fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                if deadline.passed:
                    raise EndpointBusy(
                        f"{self.name}: another program has the device locked. 'fuser -v {self.path}' tells which"
                    ) from exc
                deadline.sleep(_RETRY_SECONDS)

    def _unavailable(
        self, number: int, text: str, *, reason: UnreachableReason = UnreachableReason.UNKNOWN
    ) -> EndpointUnavailable:
        return EndpointUnavailable(f"{self.name}: {_CURES.get(number, text)}", reason=reason)


class SerialTransport:
    """An open serial device.

    :param settings: what the device is set back to at the end, as :func:`termios.tcgetattr` returned it.
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
            f"another program read it too, or is it somebody's login?"
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
            # What nobody takes would make the closing wait.
            termios.tcflush(self._device, termios.TCIOFLUSH)
            termios.tcsetattr(self._device, termios.TCSANOW, self._settings)
        # A process that was forked meanwhile has the descriptor too, and would hold the lock on.
        fcntl.flock(self._device, fcntl.LOCK_UN)
        os.close(self._device)


def _raw(settings: list[t.Any]) -> list[t.Any]:
    """Settings by which each byte passes as it is: no echo, no signals, no flow control by bytes, and 0xFF once."""
    raw = list(settings)
    raw[_IFLAG] = raw[_OFLAG] = raw[_LFLAG] = 0
    # A modem's signals do not matter: neither is a carrier waited for, nor is hung up at the end.
    raw[_CFLAG] &= ~(termios.CSIZE | termios.PARENB | termios.HUPCL)
    raw[_CFLAG] |= termios.CS8 | termios.CREAD | termios.CLOCAL
    raw[_CC] = list(raw[_CC])
    raw[_CC][termios.VMIN], raw[_CC][termios.VTIME] = 1, 0
    return raw
