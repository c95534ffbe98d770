# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel of a task to the connection process, which holds the channel to the agent.

The process reports that a request has started before it touches the agent. Until then it is certain that nothing was
carried out, and from then on the answer may be lost with the process.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, Outcome, SyncReport
from ansible_collections.netless.qga.plugins.module_utils._channels.exchange_errors import lost_reply_error
from ansible_collections.netless.qga.plugins.module_utils._connection_process.messages import (
    Link,
    Message,
    call_to_json,
    encode,
    error_from_json,
    outcome_from_json,
)
from ansible_collections.netless.qga.plugins.module_utils._connection_process.owner import name_of, owner_of
from ansible_collections.netless.qga.plugins.module_utils._connection_process.process_socket import ProcessSocket
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    EndpointBusy,
    EndpointUnavailable,
    InvalidRequest,
    QgaError,
)

# How much later than its deadline an answer of the process may come: libvirt takes only whole seconds.
_GRACE = 5.0


class PersistentChannel:
    """A channel that other tasks share, because a process keeps it open between them. It implements ``Channel``.

    :param address: where the agent is.
    :param persist: how many seconds the process keeps the channel when no task uses it.
    :param owner: the process ID of the Ansible process whose tasks use the channel, see :meth:`at_end`.
    :param connect_timeout: seconds for waiting for other tasks' requests, opening the channel and its first answer.
    :param reply_timeout: seconds that the agent may take for one reply.
    :param chunk: how many bytes of a file go into one request or reply; by default as many as suit the endpoint.
    :param native_calls: see :class:`LibvirtChannel`.
    :param log: takes lines of names, sizes and times. Contents are never logged.
    :raises InvalidRequest: the address is not valid.
    """

    def __init__(
        self,
        address: Address,
        *,
        persist: float,
        owner: int,
        connect_timeout: float = 10.0,
        reply_timeout: float = 30.0,
        chunk: int | None = None,
        native_calls: bool = False,
        log: t.Callable[[str], None] = lambda line: None,
    ) -> None:
        self.endpoint = address.description
        self._process_socket = ProcessSocket(address)
        self._connect_timeout = connect_timeout
        self._chunk = chunk
        # What every request carries, because tasks with other options share the process.
        self._settings: Message = {
            "persist": persist,
            "owner": owner_of(owner),
            "connect_timeout": connect_timeout,
            "reply_timeout": reply_timeout,
            "native_calls": native_calls,
        }
        self._log = log
        self._link: Link | None = None
        self._sizes: list[int] | None = None

    @property
    def owner_name(self) -> str:
        """See :attr:`KeptOpen.owner_name`."""
        return name_of(self._settings["owner"])

    @property
    def chunk(self) -> int:
        """See :attr:`Channel.chunk`. The process is asked for it."""
        return self._ask_sizes()[0]

    @property
    def reply_chunk(self) -> int:
        """See :attr:`Channel.reply_chunk`."""
        return self._ask_sizes()[1]

    def sync(self, deadline: Deadline) -> SyncReport:
        """See :meth:`Channel.sync`."""
        return SyncReport(**self._request("sync", deadline))

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        """See :meth:`Channel.exchange`. Exchanges of all tasks are carried out one by one, in order of arrival."""
        outcomes = self._request("exchange", deadline, calls) if calls else []
        return [outcome_from_json(outcome) for outcome in outcomes]

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """See :meth:`Channel.pause`. The process serves other tasks at any time between two exchanges."""
        deadline.sleep(seconds)

    def close(self) -> None:
        """See :meth:`Channel.close`. The process keeps the agent's channel for the next task."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def drop(self) -> None:
        """Have the process close the channel to the agent too, if there is a process. The next request reopens it.

        :raises EndpointBusy: other tasks' requests kept the process busy all the time.
        """
        deadline = Deadline.after(self._connect_timeout)
        self.close()
        connection = self._process_socket.connect(deadline)
        if connection is not None:
            self._link = Link(connection)
            try:
                self._attempt({"op": "close", "deadline": deadline.at, **self._settings}, (), deadline, deadline)
            except ConnectionError:
                # The process has ended by itself, and its channel with it.
                pass
            finally:
                self.close()

    def at_end(self, key: str, call: Call | None) -> None:
        """Have the process carry out a call when all Ansible processes that used the channel have ended.

        The process carries it out once, without a second try, and nobody gets to know its outcome. A process that is
        killed does not.

        :param key: replaces what was registered with the same key before.
        :param call: the call; None removes what was registered.
        :raises Unreachable: there is no process.
        """
        registered = None if call is None else call_to_json(call)
        self._request("at_end", Deadline.after(self._connect_timeout), key=key, call=registered)

    def _ask_sizes(self) -> list[int]:
        if self._sizes is None:
            deadline = Deadline.after(self._connect_timeout)
            self._sizes = self._request("sizes", deadline, chunk=self._chunk)
        return t.cast("list[int]", self._sizes)

    def _request(self, operation: str, deadline: Deadline, calls: t.Sequence[Call] = (), **members: t.Any) -> t.Any:
        """Have the process carry out a request, and return its result.

        A request that did not start is sent again, once: a process that has nothing to do may end at the moment when it
        is needed.
        """
        message: Message = {"op": operation, "deadline": deadline.at, **self._settings, **members}
        if calls:
            message["calls"] = [call_to_json(call) for call in calls]
        start_deadline = deadline.within(self._connect_timeout)
        with contextlib.suppress(ConnectionError):
            return self._attempt(message, calls, start_deadline, deadline)
        try:
            return self._attempt(message, calls, start_deadline, deadline)
        except ConnectionError as exc:
            raise EndpointUnavailable(
                f"{self.endpoint}: the connection process ends as soon as it is started, before it does anything. Do "
                f"without it by setting the connection's option persist to 0"
            ) from exc

    def _connect(self, deadline: Deadline) -> Link:
        connection = self._process_socket.connect(deadline)
        if connection is None:
            from ansible_collections.netless.qga.plugins.module_utils._connection_process.process_start import (
                connect_or_start,
            )

            connection = connect_or_start(self._process_socket, deadline)
        return Link(connection)

    def _attempt(
        self, message: Message, calls: t.Sequence[Call], start_deadline: Deadline, deadline: Deadline
    ) -> t.Any:
        """Send a request, and return its result.

        :raises ConnectionError: the process has ended, and the request has had no effect, or none that matters.
        """
        # The process serves requests in the order of these times.
        data = _encode({**message, "at": time.monotonic()})
        if self._link is None:
            self._link = self._connect(start_deadline)
        link = self._link
        started = False
        try:
            link.send(data, start_deadline)
            reply = link.receive(start_deadline)
            if "started" in reply:
                started = True
                reply = link.receive(Deadline(deadline.at + _GRACE))
        except OSError as exc:
            self._link = None
            started = any("started" in each for each in link.abandon()) or started
            if calls and started:
                raise self._lost(calls, exc) from exc
            if isinstance(exc, TimeoutError):
                raise EndpointBusy(
                    f"{self.endpoint}: other tasks kept the channel busy all the time; raise the connection's timeout, "
                    f"or lower forks"
                ) from exc
            raise
        except BaseException:
            # What comes next would be the answer to this request.
            self.close()
            raise
        for line in reply["log"]:
            self._log(line)
        if "error" in reply:
            raise error_from_json(reply["error"])
        return reply["value"]

    def _lost(self, calls: t.Sequence[Call], cause: OSError) -> QgaError:
        if isinstance(cause, TimeoutError):
            reason = "no answer from the connection process in time"
        else:
            reason = "the connection process on the controller ended before the answer came"
        return lost_reply_error([call.command for call in calls], f"{self.endpoint}: {reason}")


def _encode(message: Message) -> bytes:
    try:
        return encode(message)
    except (TypeError, ValueError, RecursionError) as exc:
        commands = ", ".join(sorted({call[0] for call in message.get("calls", ())}))
        raise InvalidRequest(f"{commands}: its arguments cannot be sent: they are not JSON") from exc
