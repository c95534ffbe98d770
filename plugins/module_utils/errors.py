# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every exception this collection raises about a guest agent, in one tree, and the failures of tasks themselves.

::

    QgaError
    ├── StateError                 a bug in the caller: asked for something in the wrong state
    ├── InvalidRequest             the request cannot be sent as it is; nothing was sent
    ├── LibraryMissing             a Python library is needed and not there
    ├── Unreachable                no agent answers at the endpoint; nothing was run
    │   ├── EndpointUnavailable    no such socket, no permission, nobody listening, program not found
    │   ├── EndpointBusy           somebody else holds the channel, which serves one client at a time
    │   ├── AgentSilent            the channel is open and nothing answers the sync
    │   └── ChannelClosed          the other side hung up
    ├── OutcomeUnknown             a request was sent and its answer never came: it may have been carried out
    ├── ProtocolViolation          the other side sent what no guest agent may send
    ├── AgentRefused               the agent answered with an error
    │   └── CommandUnavailable     whatever the arguments
    │       ├── CommandMissing     this agent does not know the command
    │       ├── CommandDisabled    its configuration blocks the command
    │       └── FilesystemsFrozen  it refuses because the guest's filesystems are frozen
    ├── ProcessError               a program in the guest could not be seen through to its end
    │   ├── ProcessTimedOut        it ran into its deadline and was killed
    │   ├── WrongUser              the agent runs as another user than was asked for
    │   └── CannotUnpack           there is no gzip for what was sent packed
    └── GuestFileError             a file in the guest could not be read or written

For Ansible :exc:`Unreachable`, :exc:`OutcomeUnknown` and :exc:`ProtocolViolation` make a host *unreachable*, the
others make the task *failed*. So does :exc:`TaskFailed`, which is none of them. Messages say what was tried, on which
endpoint, and what to do next; they never hold arguments, standard input or file contents. What others say is put into
them by :func:`excerpt`.
"""

from __future__ import annotations

import enum
import re
import typing as t

# Enough for what agents, shells and libvirt say. A guest may say anything, of any length.
_MAX_EXCERPT = 300


def excerpt(text: str) -> str:
    """What somebody else said, as a part of a message: one line, and the beginning of it if it is long."""
    text = text.strip()
    beginning = "".join(char if char.isprintable() else " " for char in text[:_MAX_EXCERPT]).strip()
    return beginning if len(text) <= _MAX_EXCERPT else f"{beginning}..."


def error_name(error: QgaError) -> str:
    """What the results of modules call it: a :class:`CommandMissing` is ``command_missing``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


class QgaError(Exception):
    """Anything that went wrong between this process and a guest agent."""


class StateError(QgaError):
    """The caller asked for something that the state of the conversation does not allow."""


class InvalidRequest(QgaError):
    """The request can never be carried out as given: too large, or with bytes that the agent cannot represent."""


class LibraryMissing(QgaError):
    """A Python library is needed that is not installed where this runs."""


class UnreachableReason(enum.Enum):
    """What an :exc:`Unreachable` error proves about the other end of the channel."""

    #: Nothing: permission, a busy channel, a lost network, a relay program that ended, an agent that hangs.
    UNKNOWN = "unknown"
    #: There is nothing at the endpoint: no socket, no device. QEMU removes its sockets when it ends.
    ABSENT = "absent"
    #: A Unix socket exists and nobody listens on it: the process that made it ended without removing it.
    LEFT_BEHIND = "left behind"
    #: Nobody listens on the port, or the device is gone.
    REFUSED = "refused"
    #: The other side had the channel open and closed it.
    CLOSED = "closed"


class Unreachable(QgaError):
    """No conversation with an agent is possible. No command of ours was carried out.

    :param message: what was tried, on which endpoint, and what to do next.
    :param reason: what the error proves about the other end of the channel.
    """

    def __init__(self, message: str = "", *, reason: UnreachableReason = UnreachableReason.UNKNOWN) -> None:
        super().__init__(message)
        self.reason = reason


class EndpointUnavailable(Unreachable):
    """The endpoint itself cannot be opened."""


class EndpointBusy(Unreachable):
    """Another client holds the endpoint, and it serves one at a time."""


class AgentSilent(Unreachable):
    """The endpoint opened, but no agent answered the sync in time."""


class ChannelClosed(Unreachable):
    """The other side ended the channel."""


class OutcomeUnknown(QgaError):
    """A request left and its answer did not arrive. Whether it was carried out is not known; it is not repeated."""


class ProtocolViolation(QgaError):
    """The other side sent something that no agent sends: broken, hostile, or not an agent at all."""


class AgentRefused(QgaError):
    """The agent's own error reply.

    :param message: what was tried, on which endpoint, and what to do next.
    :param error_class: the agent's ``class``: ``GenericError`` or ``CommandNotFound`` (QAPI ``QapiErrorClass``);
        nothing if libvirt did not pass it on.
    :param desc: the agent's ``desc``, a text for humans that varies from version to version.
    """

    def __init__(self, message: str, *, error_class: str = "GenericError", desc: str = "") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.desc = desc


class CommandUnavailable(AgentRefused):
    """The agent does not carry out this command now, whatever its arguments."""


class CommandMissing(CommandUnavailable):
    """guest-info does not list the command: the agent is too old, or built without it."""


class CommandDisabled(CommandUnavailable):
    """guest-info lists the command as not enabled: the agent's configuration blocks it."""


class FilesystemsFrozen(CommandUnavailable):
    """guest-fsfreeze-status says ``frozen``: the agent refuses nearly everything until the guest is thawed."""


class ProcessError(QgaError):
    """A program in the guest could not be started or followed."""


class ProcessTimedOut(ProcessError):
    """The program was still running at its deadline, and its process group was killed."""


class WrongUser(ProcessError):
    """The agent runs as another user than the one that was asked for. Nothing was run."""


class CannotUnpack(ProcessError):
    """The guest has no gzip for a program's standard input. Nothing was run."""


class GuestFileError(QgaError):
    """A file in the guest could not be read or written; the message names it."""


class TaskFailed(Exception):
    """What was to be reached was not, though nothing need have gone wrong on the way; or there are results to return.

    :param message: what was tried, on which endpoint, and what to do next.
    :param results: what there is to return all the same.
    """

    def __init__(self, message: str, **results: t.Any) -> None:
        super().__init__(message)
        self.results = results
