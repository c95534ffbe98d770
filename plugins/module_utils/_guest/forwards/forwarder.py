# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remote forwards, as ssh -R has them: ports on the guest's loopback interface that lead to the controller.

They are there while a command runs, and are carried on while something waits for its end: :attr:`Agent.while_waiting`.
When a session is lost, its connections end and the command goes on. Another session is tried later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.guest_end import GuestEnd
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.guest_link import GuestLink
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.routes import Listener
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.session import ForwardSession
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import Record, open_record
from ansible_collections.netless.qga.plugins.module_utils.errors import ForwardError, QgaError

# How long a program that is there from an earlier command may take to listen, in seconds. It may have been killed.
_KEPT_TIMEOUT = 6.0

# When to try another session after a lost one, in seconds. The time doubles with each that fails.
_RETRY_AFTER = 1.0
_MAX_RETRY_AFTER = 60.0

# Whether the agent is there again, it has to show in this time, in seconds: the wait for the command must go on.
_SYNC_TIMEOUT = 1.0
_RESTART_TIMEOUT = 20.0


class Forwarder:
    """The forwards of one connection.

    :param guest: the guest's address, as the name of what is recorded of it.
    :param agent: the guest's agent.
    :param files: the guest's files.
    :param listeners: the ports and where they lead.
    :param log: takes lines that have no contents.
    :param warn: takes what a user should know, although the command goes on.
    """

    def __init__(
        self,
        guest: str,
        agent: Agent,
        files: Files,
        listeners: t.Sequence[Listener],
        *,
        log: t.Callable[[str], None] = lambda line: None,
        warn: t.Callable[[str], None] = lambda message: None,
    ) -> None:
        self._guest = guest
        self._agent = agent
        self._files = files
        self._listeners = listeners
        self._log = log
        self._warn = warn
        self._end: GuestEnd | None = None
        self._session: ForwardSession | None = None
        # A call of the agent that this needs leads here again.
        self._is_carrying_on = False
        self._retry_after = _RETRY_AFTER
        self._next_try = Deadline.after(0)

    @contextlib.contextmanager
    def running(self, deadline: Deadline) -> t.Iterator[None]:
        """Have the guest listen on all ports while the block runs.

        :param deadline: when to give up, before the block runs.
        :raises ForwardError: the guest has no Python, or cannot listen. The block was not run.
        :raises QgaError: the agent cannot be reached, or refuses what this needs. The block was not run.
        """
        key = "\0".join(["forwards", *(str(listener.port) for listener in self._listeners)])
        with open_record(self._guest, key) as record:
            self._start(GuestEnd.from_dict(record.read()) if record else None, deadline)
            if record:
                # If this process is killed, nobody may use the session's program again.
                record.write({})
            self._agent.while_waiting = self._wait
            try:
                yield
            finally:
                self._agent.while_waiting = None
                self._stop(record)

    def _start(self, kept: GuestEnd | None, deadline: Deadline) -> None:
        """Begin a session with a program that is there from an earlier command, or else with a new one."""
        if kept is not None:
            try:
                self._begin(kept, deadline.within(_KEPT_TIMEOUT))
                return
            except ForwardError:
                kept.end(self._agent)
                raise
            except QgaError as exc:
                self._log(f"FORWARD the guest's end is started again: {exc}")
                kept.end(self._agent)
        end = GuestEnd.start(self._agent, [listener.port for listener in self._listeners], deadline)
        try:
            self._begin(end, deadline)
        except BaseException:
            end.end(self._agent)
            raise

    def _begin(self, end: GuestEnd, deadline: Deadline) -> None:
        session = ForwardSession(self._agent, GuestLink(self._agent, self._files, end), self._listeners, self._log)
        try:
            session.start(deadline)
        except BaseException:
            session.close()
            raise
        self._end, self._session = end, session
        for listener in self._listeners:
            self._log(f"FORWARD {listener}")

    def _wait(self, seconds: float, deadline: Deadline) -> None:
        """Carry on the connections for some seconds, as :meth:`Agent.pause` waits."""
        if self._is_carrying_on:
            return
        self._is_carrying_on = True
        try:
            until = deadline.within(seconds)
            if seconds and self._session is None and self._next_try.passed:
                self._try_again()
            self._carry_on(until, deadline)
            if not until.passed:
                self._agent.sleep(until.remaining(), deadline)
        finally:
            self._is_carrying_on = False

    def _carry_on(self, until: Deadline, deadline: Deadline) -> None:
        try:
            while self._session is not None:
                self._session.turn(deadline)
                if until.passed:
                    return
                self._session.wait(until)
        except QgaError as exc:
            self._lose(exc)

    def _lose(self, exc: QgaError) -> None:
        """End the connections of a session that is lost."""
        self._warn(f"The remote forwards into the guest were interrupted, and their connections have ended: {exc}")
        if self._session is not None:
            self._session.close()
        self._session = None
        self._next_try = Deadline.after(self._retry_after)
        self._retry_after = min(2 * self._retry_after, _MAX_RETRY_AFTER)

    def _try_again(self) -> None:
        """Begin another session. The program of the last one ends when its directory is gone."""
        self._next_try = Deadline.after(self._retry_after)
        self._retry_after = min(2 * self._retry_after, _MAX_RETRY_AFTER)
        # While this waits, nothing has to be carried on.
        self._agent.while_waiting = None
        try:
            self._agent.sync(Deadline.after(_SYNC_TIMEOUT))
            if self._end is not None:
                self._end.end(self._agent)
                self._end = None
            self._start(None, Deadline.after(_RESTART_TIMEOUT))
        except QgaError as exc:
            self._log(f"FORWARD the guest's end cannot be started again: {exc}")
        finally:
            self._agent.while_waiting = self._wait

    def _stop(self, record: Record | None) -> None:
        end, session = self._end, self._session
        self._end = self._session = None
        is_kept = False
        if session is not None and end is not None:
            try:
                session.stop()
                end.session += 1
                is_kept = record is not None and record.write(dataclasses.asdict(end))
            except QgaError as exc:
                self._log(f"FORWARD the session did not end in order: {exc}")
            finally:
                session.close()
        if end is not None and not is_kept:
            end.end(self._agent)
