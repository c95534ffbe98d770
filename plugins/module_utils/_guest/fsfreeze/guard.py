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
import os
import syslog
import typing as t
from dataclasses import replace

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.filesystems import THAWED, Filesystems
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_config import GuardConfig
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_inbox import (
    ATTACHED,
    CANCELLED,
    CLOSED,
    DETACHED,
    TERMINATED,
    Inbox,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import (
    GUARD,
    OTHERS,
    RecordFile,
    freeze_lock,
)
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable

# The least and the most seconds between two looks at the guest: each is a conversation on its channel.
_MIN_SPACING, _MAX_SPACING = 1.0, 10.0
# How long a thaw is tried that does not succeed, in seconds.
_RETRY_TIMEOUT = 3600.0
# How often a guest has to be seen thawed after a freeze whose fate nobody knows: it may be on its way still.
_LOOKS_AT_UNKNOWN = 3
# For one look.
_LOOK_TIMEOUT = 30.0


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
        self._wait = wait
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
        word = self._wait(None)
        if word == CANCELLED:
            return
        if word in (DETACHED, ATTACHED):
            self._looks = 1
            if not self._watch(Deadline.after(self._config.max_frozen), is_attached=word == ATTACHED):
                return
        self._end_freeze()

    def _watch(self, deadline: Deadline, *, is_attached: bool) -> bool:
        """Look now and then.

        :returns: whether it is to be thawed now; False if that is not necessary any more.
        """
        while True:
            heard = self._wait(min(self._spacing, deadline.remaining()))
            if deadline.passed:
                return heard != CANCELLED
            if heard == TERMINATED or (is_attached and heard == CLOSED):
                return True
            if heard == CANCELLED:
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
            self._wait(self._spacing)
        syslog.syslog(syslog.LOG_ERR, f"{self._endpoint}: gave up thawing; the guest may still be frozen")

    def _attempt(self, step: t.Callable[[Filesystems], bool], deadline: Deadline) -> bool:
        """Whether that step succeeded. The channel is open only meanwhile, as others may need it."""
        if not os.path.isdir(os.environ.get("XDG_RUNTIME_DIR", "/")):
            # Where sessions are kept track of, it goes away with the user's last one.
            del os.environ["XDG_RUNTIME_DIR"]
        fair_lock = freeze_lock(self._endpoint)
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
