# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions that this collection raises about a guest agent, in one tree, and the failure of a task.

This module is public API: names and relations of the classes follow semantic versioning, texts of messages do not.

::

    QgaError
    ├── StateError                 a bug in the caller: the operation is not allowed in the current state
    ├── InvalidRequest             the request cannot be sent as given; nothing was sent
    ├── LibraryMissing             a Python library is needed and not installed
    ├── Unreachable                no agent answers at the endpoint; no command was carried out
    │   ├── EndpointUnavailable    the endpoint cannot be opened: no such socket, no permission, nobody listens
    │   ├── EndpointBusy           another client holds the channel, which serves one at a time
    │   ├── AgentSilent            the channel is open, but no agent answers the sync
    │   └── ChannelClosed          the other side closed the channel
    ├── OutcomeUnknown             a request was sent and its reply did not arrive: it may have been carried out
    ├── ProtocolViolation          the other side sent what no guest agent may send
    ├── AgentRefused               the agent answered with an error
    │   └── CommandUnavailable     the command is refused whatever its arguments
    │       ├── CommandMissing     this agent does not have the command
    │       ├── CommandDisabled    the agent's configuration blocks the command
    │       └── FilesystemsFrozen  the agent refuses it because the guest's filesystems are frozen
    ├── ProcessError               a program in the guest could not be started, or not followed to its end
    │   ├── ProcessTimedOut        the program reached its deadline and was killed, as far as possible
    │   ├── WrongUser              the agent does not run as the required user
    │   └── CannotUnpack           the guest has no gzip to unpack what was sent compressed
    ├── GuestFileError             a file in the guest could not be read or written
    │   └── GuestFileTooLarge      it has more bytes than may be read, or does not end
    └── ForwardError               a remote forward cannot be had: no Python in the guest, or its port is in use

In the connection :exc:`Unreachable`, :exc:`OutcomeUnknown` and :exc:`ProtocolViolation` make a host *unreachable*, and
so does :exc:`WrongUser`, like a login that ssh refuses. All others make the task *failed*, and so does every error of a
module, :exc:`TaskFailed` among them. Messages name what was tried, the endpoint, and what to do next. They never
contain arguments, standard input or file contents. Text from a guest, a program or libvirt gets into a message only
through :func:`excerpt`.
"""

from __future__ import annotations

import enum
import re
import typing as t

# Enough for the messages of agents, shells and libvirt. A guest may send any text, of any length.
_MAX_EXCERPT = 300


def excerpt(text: str) -> str:
    """Return a foreign text in a form that can be part of a message: on one line, printable, and cut if it is long.

    :param text: from a guest, a program or libvirt.
    :returns: at most 300 characters of it, followed by ``...`` if there was more.
    """
    text = text.strip()
    beginning = "".join(char if char.isprintable() else " " for char in text[:_MAX_EXCERPT]).strip()
    return beginning if len(text) <= _MAX_EXCERPT else f"{beginning}..."


def error_name(error: QgaError) -> str:
    """Return the name of an error in the results of modules: ``command_missing`` for :class:`CommandMissing`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


class QgaError(Exception):
    """An error between this process and a guest agent."""


class StateError(QgaError):
    """A bug in the caller: the state of the session or of this process does not allow the operation."""


class InvalidRequest(QgaError):
    """A request that can never be carried out as given: malformed, too large, or not representable for the agent."""


class LibraryMissing(QgaError):
    """A Python library that is needed and not installed where this runs."""


class UnreachableReason(enum.Enum):
    """What an :exc:`Unreachable` error proves about the other end of the channel.

    Endpoints ``exec:`` always give :attr:`UNKNOWN`: how a relay program ends proves nothing about the agent behind it.
    """

    #: Nothing: permission, a busy channel, a lost network, a relay program that ended, an agent that hangs.
    UNKNOWN = "unknown"
    #: Nothing is at the endpoint: no socket, no device, no VM of the CID. QEMU removes its sockets when it ends.
    ABSENT = "absent"
    #: A Unix socket exists, but nobody listens on it: the process that created it ended without removing it.
    LEFT_BEHIND = "left behind"
    #: Nobody listens on the port, or the device has no hardware.
    REFUSED = "refused"
    #: The other side had the channel open and closed it.
    CLOSED = "closed"


class Unreachable(QgaError):
    """No agent can be reached. No command was carried out.

    :param message: what was tried, on which endpoint, and what to do next.
    :param reason: what the error proves about the other end of the channel.
    """

    def __init__(self, message: str = "", *, reason: UnreachableReason = UnreachableReason.UNKNOWN) -> None:
        super().__init__(message)
        self.reason = reason


class EndpointUnavailable(Unreachable):
    """The endpoint cannot be opened."""


class EndpointBusy(Unreachable):
    """Another client holds the channel, which serves one client at a time."""


class AgentSilent(Unreachable):
    """The channel is open, but no agent answered the sync in time."""


class ChannelClosed(Unreachable):
    """The other side closed the channel."""


class OutcomeUnknown(QgaError):
    """A request was sent and its reply did not arrive. The agent may have carried it out; it is not sent again."""


class ProtocolViolation(QgaError):
    """The other side sent something that no agent sends: it is broken, hostile, or no agent."""


LOST_ANSWER = (OutcomeUnknown, ProtocolViolation)
"""The errors of a call whose answer is lost. The agent may have carried it out."""


class AgentRefused(QgaError):
    """The agent answered with an error.

    :param message: what was tried, on which endpoint, and what to do next.
    :param error_class: the agent's ``class``: ``GenericError`` or ``CommandNotFound`` (QAPI ``QapiErrorClass``);
        empty if libvirt did not pass it on.
    :param desc: the agent's ``desc``, a text for humans that differs between versions.
    """

    def __init__(self, message: str, *, error_class: str = "GenericError", desc: str = "") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.desc = desc


class CommandUnavailable(AgentRefused):
    """The agent refuses the command at present, whatever its arguments."""


class CommandMissing(CommandUnavailable):
    """The agent does not have the command, as guest-info shows: it is too old, or was built without it."""


class CommandDisabled(CommandUnavailable):
    """The agent's configuration blocks the command: guest-info lists it as not enabled."""


class FilesystemsFrozen(CommandUnavailable):
    """guest-fsfreeze-status reports ``frozen``: until a thaw, the agent refuses nearly all commands."""


class ProcessError(QgaError):
    """A program in the guest could not be started, or not followed to its end."""


class ProcessTimedOut(ProcessError):
    """A program that still ran at its deadline. Its process group was killed, unless the message denies it."""


class WrongUser(ProcessError):
    """The agent runs as another user than the task asks for. Nothing was run."""


class CannotUnpack(ProcessError):
    """The guest has no gzip to unpack the standard input of a program. Nothing was run."""


class GuestFileError(QgaError):
    """A file in the guest could not be read or written; the message names it."""


class GuestFileTooLarge(GuestFileError):
    """A file in the guest has more bytes than may be read, or does not end.

    :param max_size: how many bytes may be read.
    """

    def __init__(self, message: str, *, max_size: int = 0) -> None:
        super().__init__(message)
        self.max_size = max_size


class ForwardError(QgaError):
    """A remote forward that a task asks for cannot be opened in the guest. The task's command was not run."""


class TaskFailed(Exception):
    """A task that did not reach its goal, even if no command failed, or that failed with results to return.

    :param message: what was tried, on which endpoint, and what to do next.
    :param results: what the module returns in spite of the failure.
    """

    def __init__(self, message: str, **results: t.Any) -> None:
        super().__init__(message)
        self.results = results
