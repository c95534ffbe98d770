# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard of a freeze: a process that thaws when the time is up, whatever has happened to the one that froze.

It is started before the freeze, by :mod:`.guard_process`, and told on a pipe what has become of it. The end of the pipe
without a word means that the one who froze is dead, or does not know either: then the guard looks, and thaws.

It steps back when it sees that somebody thawed: by the agent's status, and by the record, in which a later freeze has
another token. No record is no reason to step back, as it may be lost with the directory it is in.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import syslog
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import THAWED, Filesystems
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import GUARD, OTHERS, RecordFile
from ansible_collections.netless.qga.plugins.module_utils._local.fair_lock import FairLock
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable

#: What a guard is told: it is frozen, and left so; it is frozen, by one who stays to thaw it; it is not frozen.
LEFT, HELD, DISMISSED = "left", "held", "dismissed"
_ENDED, _URGED = "", "urged"

# The least and the most seconds between two looks at the guest: each is a conversation on its channel.
_MIN_SPACING, _MAX_SPACING = 1.0, 10.0
# How long a thaw is tried that does not succeed, in seconds.
_RETRY_TIMEOUT = 3600.0
# How often a guest has to be seen thawed after a freeze whose fate nobody knows: it may be on its way still.
_LOOKS_AT_UNKNOWN = 3
# For one look.
_LOOK_TIMEOUT = 30.0


@dataclass(frozen=True)
class GuardConfig:
    """What a guard needs to know.

    :param token: the token of the freeze, as in its record.
    :param max_frozen: seconds after which the guard thaws.
    :param target: the guest's agent.
    """

    token: str
    max_frozen: float
    target: Target

    @classmethod
    def from_line(cls, line: str) -> GuardConfig:
        """Return the configuration that :meth:`as_line` described."""
        members = json.loads(line)
        return cls(members["token"], members["max_frozen"], Target.from_dict(members["target"]))

    def as_line(self) -> str:
        """Return the configuration as one line of ASCII, for :meth:`from_line` in the guard's process."""
        members = {"token": self.token, "max_frozen": self.max_frozen, "target": self.target.as_dict()}
        return json.dumps(members) + "\n"


def lock_for(endpoint: str) -> FairLock:
    """The turn to freeze or thaw a guest, which is wanted for several commands and the record together."""
    return FairLock(f"freezing and thawing of {endpoint}")


class Guard:
    """What the process does.

    :param orders: for it.
    :param hear: waits that many seconds, or without a limit, for something that it is told: one of the words,
        nothing at the end of the pipe, ``urged`` if the process shall end. None if the time is over.
    :param spacing: seconds between two looks, if not what suits the orders.
    """

    def __init__(
        self, config: GuardConfig, wait: t.Callable[[float | None], str | None], *, spacing: float | None = None
    ) -> None:
        self._config = config
        self._hear = wait
        self._target = config.target
        with contextlib.closing(self._target.agent()) as agent:
            self._endpoint = agent.endpoint
        self._file = RecordFile(self._endpoint)
        usual = min(_MAX_SPACING, max(_MIN_SPACING, config.max_frozen / 10))
        self._spacing = usual if spacing is None else spacing
        self._complained = False
        self._looks = _LOOKS_AT_UNKNOWN

    def run(self) -> None:
        """Keep watch until there is nothing left to do."""
        word = self._hear(None)
        if word == DISMISSED:
            return
        if word in (LEFT, HELD):
            self._looks = 1
            if not self._state_file(Deadline.after(self._config.max_frozen), is_held=word == HELD):
                return
        self._end_freeze()

    def _state_file(self, deadline: Deadline, *, is_held: bool) -> bool:
        """Look now and then.

        :returns: whether it is to be thawed now; False if that is not necessary any more.
        """
        while True:
            heard = self._hear(min(self._spacing, deadline.remaining()))
            if deadline.passed:
                return heard != DISMISSED
            if heard == _URGED or (is_held and heard == _ENDED):
                return True
            if heard == DISMISSED:
                return False
            if heard is None and self._attempt(self._has_ended, deadline):
                return False

    def _end_freeze(self) -> None:
        """Thaw, again and again until it has succeeded or all hope is gone."""
        deadline = Deadline.after(_RETRY_TIMEOUT)
        while not deadline.passed:
            self._looks -= self._attempt(self._thaw, Deadline.after(_LOOK_TIMEOUT))
            if self._looks <= 0:
                return
            # Nothing else can be done if it is told to end in the meantime.
            self._hear(self._spacing)
        syslog.syslog(syslog.LOG_ERR, f"{self._endpoint}: gave up thawing; the guest may still be frozen")

    def _attempt(self, step: t.Callable[[Filesystems], bool], deadline: Deadline) -> bool:
        """Whether that step succeeded. The channel is open only meanwhile, as others may need it."""
        if not os.path.isdir(os.environ.get("XDG_RUNTIME_DIR", "/")):
            # Where sessions are kept track of, it goes away with the user's last one.
            del os.environ["XDG_RUNTIME_DIR"]
        fair_lock = lock_for(self._endpoint)
        try:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(EndpointUnavailable):
                    fair_lock.acquire(deadline.within(_LOOK_TIMEOUT))
                    stack.callback(fair_lock.release)
                agent = stack.enter_context(contextlib.closing(self._target.agent()))
                return step(Filesystems(agent, self._target))
        except Exception as exc:  # pylint: disable=broad-exception-caught  # whatever it is, the next time it may go well
            if not self._complained:
                self._complained = True
                syslog.syslog(syslog.LOG_WARNING, f"{self._endpoint}: frozen, and the guard cannot look or thaw: {exc}")
            return False

    def _has_ended(self, filesystems: Filesystems) -> bool:
        record = self._file.read()
        if record is not None and (record.token != self._config.token or record.thawed_by):
            return True
        if filesystems.status() != THAWED:
            return False
        if record is not None and record.count is not None:
            # Otherwise nobody knows whether it has been frozen, or will be.
            self._note(OTHERS)
        return True

    def _thaw(self, filesystems: Filesystems) -> bool:
        if self._has_ended(filesystems):
            return True
        count = filesystems.thaw().count
        # This was the freeze that it was looked for.
        self._looks = 0
        self._note(GUARD)
        syslog.syslog(
            syslog.LOG_WARNING,
            f"{self._endpoint}: thawed {'the' if count is None else count} filesystems that nobody thawed in time",
        )
        return True

    def _note(self, thawed_by: str) -> None:
        record = self._file.read()
        if record is not None and record.token == self._config.token:
            with contextlib.suppress(OSError, EndpointUnavailable):
                self._file.write(replace(record, thawed_by=thawed_by))


class Inbox:
    """Hears what comes on the pipe, and signals.

    :param pipe: to read from.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe
        self._unread = b""
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        # A host that shuts down, and whatever else ends services, asks first; the guest shall not stay frozen then.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signal.set_wakeup_fd(wake)
        for ignored in (signal.SIGHUP, signal.SIGINT):
            signal.signal(ignored, signal.SIG_IGN)

    def wait(self, seconds: float | None) -> str | None:
        """See :class:`Guard`."""
        deadline = None if seconds is None else Deadline.after(seconds)
        while b"\n" not in self._unread:
            sources = [self._wake] if self._pipe is None else [self._pipe, self._wake]
            ready = select.select(sources, [], [], None if deadline is None else deadline.remaining())[0]
            if self._wake in ready:
                os.read(self._wake, 64)
                return _URGED
            if not ready:
                return None
            data = os.read(t.cast(int, self._pipe), 4096)
            if not data:
                os.close(t.cast(int, self._pipe))
                self._pipe = None
                return _ENDED
            self._unread += data
        word, self._unread = self._unread.split(b"\n", 1)
        return word.decode("ascii", errors="replace")


def main() -> None:
    """Be a guard, in a process that was started for it: orders and words come on standard input.

    Everything is imported before it says that it is ready: as part of a module it comes out of an archive that is
    removed when the module ends.
    """
    config = GuardConfig.from_line(_line(0))
    _import_the_rest(config.target)
    # The one that was started ends, so that nobody has to wait for the one that stays.
    if os.fork() > 0:
        os._exit(0)
    guard = Guard(config, Inbox(os.dup(0)).wait)
    syslog.openlog("netless.qga", syslog.LOG_PID, syslog.LOG_DAEMON)
    os.write(1, f"ready {os.getpid()}\n".encode("ascii"))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    guard.run()


def _line(descriptor: int) -> str:
    """One line, and nothing that comes after it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            raise EOFError("no orders")
        line += byte
    return line.decode("ascii")


def _import_the_rest(target: Target) -> None:
    check_reply("guest-fsfreeze-status", THAWED)
    check_reply("guest-fsfreeze-thaw", 0)
    domain = target.libvirt_domain()
    if domain is not None:
        domain.library()
        import libvirt_qemu  # pylint: disable=import-error,unused-import  # noqa: F401
