# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard of a freeze: a process that thaws when the time is up, whatever has happened to the one that froze.

:mod:`.guard_process` starts it before the freeze and reports on a pipe how the freeze went. If the pipe ends without a
word, the process that froze is dead or does not know either: then the guard asks the agent, and thaws.

The guard ends without a thaw when it sees that somebody else thawed. It sees that by the agent's status, and by the
record, in which a later freeze has another token. A missing record is no reason to end, because it may be lost together
with its directory.
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

# Seconds between two checks of the guest: each one opens its channel.
_MIN_INTERVAL, _MAX_INTERVAL = 1.0, 10.0
# Seconds for which the guard repeats a thaw that does not succeed.
_RETRY_TIMEOUT = 3600.0
# How many checks have to find the guest thawed after a freeze whose outcome nobody knows: it may still be under way.
_CHECKS_AFTER_UNKNOWN = 3
# Seconds for one check or one thaw.
_CHECK_TIMEOUT = 30.0


class Guard:
    """The guard of one freeze.

    :param config: the freeze to guard.
    :param wait: waits for the next message, see :meth:`Inbox.wait`.
    """

    def __init__(self, config: GuardConfig, wait: t.Callable[[float | None], str | None]) -> None:
        self._config = config
        self._wait = wait
        self._target = config.target
        with contextlib.closing(self._target.agent()) as agent:
            self._endpoint = agent.endpoint
        self._file = RecordFile(self._endpoint)
        self._interval = min(_MAX_INTERVAL, max(_MIN_INTERVAL, config.max_frozen / 10))
        self._has_logged_problem = False
        self._checks_left = _CHECKS_AFTER_UNKNOWN

    def run(self) -> None:
        """Guard the freeze until there is nothing left to do."""
        message = self._wait(None)
        if message == CANCELLED:
            return
        if message in (DETACHED, ATTACHED):
            self._checks_left = 1
            if not self._watch(Deadline.after(self._config.max_frozen), is_attached=message == ATTACHED):
                return
        self._end_freeze()

    def _watch(self, deadline: Deadline, *, is_attached: bool) -> bool:
        """Check the guest at intervals until the deadline.

        :param is_attached: whether the process that froze stays, so that the end of its pipe is a reason to thaw.
        :returns: whether to thaw now; False if the freeze has ended.
        """
        while True:
            message = self._wait(min(self._interval, deadline.remaining()))
            if deadline.passed:
                return message != CANCELLED
            if message == TERMINATED or (is_attached and message == CLOSED):
                return True
            if message == CANCELLED:
                return False
            if message is None and self._attempt(self._has_ended, deadline):
                return False

    def _end_freeze(self) -> None:
        """Thaw the guest; repeat it until it succeeds or the time for that is up."""
        deadline = Deadline.after(_RETRY_TIMEOUT)
        while not deadline.passed:
            self._checks_left -= self._attempt(self._thaw, Deadline.after(_CHECK_TIMEOUT))
            if self._checks_left <= 0:
                return
            # A message changes nothing now: a guard that is terminated has to thaw as well.
            self._wait(self._interval)
        syslog.syslog(syslog.LOG_ERR, f"{self._endpoint}: gave up thawing; the guest may still be frozen")

    def _attempt(self, step: t.Callable[[Filesystems], bool], deadline: Deadline) -> bool:
        """Return whether the step succeeded. Keep the channel open only for it, as others may need the channel.

        :param step: returns whether it found, or made, the guest thawed.
        :param deadline: for the lock.
        """
        if not os.path.isdir(os.environ.get("XDG_RUNTIME_DIR", "/")):
            # systemd-logind removes it when the user's last session ends.
            del os.environ["XDG_RUNTIME_DIR"]
        fair_lock = freeze_lock(self._endpoint)
        try:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(EndpointUnavailable):
                    fair_lock.acquire(deadline.within(_CHECK_TIMEOUT))
                    stack.callback(fair_lock.release)
                agent = stack.enter_context(contextlib.closing(self._target.agent()))
                return step(Filesystems(agent, self._target))
        except Exception as exc:  # pylint: disable=broad-exception-caught  # whatever it is, the next attempt may succeed
            if not self._has_logged_problem:
                self._has_logged_problem = True
                syslog.syslog(
                    syslog.LOG_WARNING, f"{self._endpoint}: frozen, and the guard can neither check nor thaw: {exc}"
                )
            return False

    def _has_ended(self, filesystems: Filesystems) -> bool:
        record = self._file.read()
        if record is not None and (record.token != self._config.token or record.thawed_by):
            return True
        if filesystems.status() != THAWED:
            return False
        if record is not None and record.count is not None:
            # Without a count, nobody knows whether the guest has been frozen, or still will be.
            self._save_thawed_by(OTHERS)
        return True

    def _thaw(self, filesystems: Filesystems) -> bool:
        if self._has_ended(filesystems):
            return True
        count = filesystems.thaw().count
        # This was the freeze to guard, so no further check is needed.
        self._checks_left = 0
        self._save_thawed_by(GUARD)
        syslog.syslog(
            syslog.LOG_WARNING,
            f"{self._endpoint}: thawed {'the' if count is None else count} filesystems that nobody else thawed in time",
        )
        return True

    def _save_thawed_by(self, thawed_by: str) -> None:
        record = self._file.read()
        if record is not None and record.token == self._config.token:
            with contextlib.suppress(OSError, EndpointUnavailable):
                self._file.write(replace(record, thawed_by=thawed_by))


def main() -> None:
    """Run as a guard, in a process that was started for it: the configuration and words come on standard input.

    Import everything before reporting that the guard is ready: a module's code is in an archive, which Ansible removes
    when the module ends.
    """
    config = GuardConfig.from_line(_read_line(0))
    _import_lazy_libraries(config.target)
    # The process that was started ends, so that nobody has to wait for the one that stays.
    if os.fork() > 0:
        os._exit(0)
    guard = Guard(config, Inbox(os.dup(0)).wait)
    syslog.openlog("netless.qga", syslog.LOG_PID, syslog.LOG_DAEMON)
    os.write(1, f"ready {os.getpid()}\n".encode("ascii"))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    guard.run()


def _read_line(descriptor: int) -> str:
    """Read one line, and nothing that comes after it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            raise EOFError("the guard got no configuration")
        line += byte
    return line.decode("ascii")


def _import_lazy_libraries(target: Target) -> None:
    check_reply("guest-fsfreeze-status", THAWED)
    check_reply("guest-fsfreeze-thaw", 0)
    domain = target.libvirt_domain()
    if domain is not None:
        domain.library()
        import libvirt_qemu  # pylint: disable=import-error,unused-import  # noqa: F401
