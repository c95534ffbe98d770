# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of a session, and the tables of what may be sent and received in each of them.

The state of a session changes in :class:`StateMachine` and nowhere else.
"""

from __future__ import annotations

import enum

from ansible_collections.netless.qga.plugins.module_utils.errors import StateError


class State(enum.Enum):
    """Where a session stands."""

    #: Nothing was sent yet. What can be read from the channel was left there by earlier clients.
    NEVER_SYNCED = "never synced"
    #: A sync was sent, and its reply has not come. All other lines were left by earlier clients.
    SYNCING = "syncing"
    #: In sync, and every request is answered.
    IDLE = "idle"
    #: In sync, and at least one request is not answered.
    WAITING = "waiting"
    #: A reply may still come that answers an abandoned request. Only another sync shows which replies are new.
    OUT_OF_SYNC = "out of sync"
    #: The other side ended the channel. Another channel needs another session.
    CLOSED = "closed"


#: The states in which a received line can answer a request.
IN_SYNC = frozenset({State.IDLE, State.WAITING})


class Action(enum.Enum):
    """What this side does."""

    #: Send a sync. All requests before it are forgotten.
    SYNC = "sync"
    #: Send a request.
    SEND = "send a request"
    #: Stop waiting for replies: at a timeout, after an interrupted read, or after a protocol violation.
    ABANDON = "abandon the requests"


class Input(enum.Enum):
    """What the other side does, as far as it changes the state. Every other line is discarded."""

    #: The reply to the sync came.
    SYNC_REPLY = "sync reply"
    #: A request was answered, and others are not answered yet.
    REPLY = "reply"
    #: The last request that was not answered yet was answered.
    LAST_REPLY = "last reply"
    #: A reply to no request came from an agent whose replies have no id. Only the order of the replies shows which
    #: request each one answers, and this reply breaks the order.
    EXTRA_REPLY = "extra reply"
    #: The channel ended.
    END = "end"


#: The state after each action. An action that is not listed for a state raises :exc:`StateError`.
ACTIONS: dict[State, dict[Action, State]] = {
    State.NEVER_SYNCED: {Action.SYNC: State.SYNCING, Action.ABANDON: State.OUT_OF_SYNC},
    State.SYNCING: {Action.SYNC: State.SYNCING, Action.ABANDON: State.OUT_OF_SYNC},
    State.IDLE: {Action.SYNC: State.SYNCING, Action.SEND: State.WAITING, Action.ABANDON: State.OUT_OF_SYNC},
    State.WAITING: {Action.SYNC: State.SYNCING, Action.SEND: State.WAITING, Action.ABANDON: State.OUT_OF_SYNC},
    State.OUT_OF_SYNC: {Action.SYNC: State.SYNCING, Action.ABANDON: State.OUT_OF_SYNC},
    State.CLOSED: {Action.ABANDON: State.CLOSED},
}

#: The state after each input. An input that is not listed for a state cannot happen in it.
INPUTS: dict[State, dict[Input, State]] = {
    State.NEVER_SYNCED: {Input.END: State.CLOSED},
    State.SYNCING: {Input.SYNC_REPLY: State.IDLE, Input.END: State.CLOSED},
    State.IDLE: {Input.EXTRA_REPLY: State.OUT_OF_SYNC, Input.END: State.CLOSED},
    State.WAITING: {Input.REPLY: State.WAITING, Input.LAST_REPLY: State.IDLE, Input.END: State.CLOSED},
    State.OUT_OF_SYNC: {Input.END: State.CLOSED},
    State.CLOSED: {},
}


class StateMachine:
    """The state of one session. It changes only as the tables allow."""

    def __init__(self) -> None:
        self._state = State.NEVER_SYNCED

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    def require(self, action: Action) -> None:
        """Check that an action is allowed now.

        :raises StateError: it is not.
        """
        if action not in ACTIONS[self._state]:
            raise StateError(f"cannot {action.value} while {self._state.value}")

    def act(self, action: Action) -> None:
        """Enter the state after an action.

        :raises StateError: the action is not allowed now.
        """
        self.require(action)
        self._state = ACTIONS[self._state][action]

    def receive(self, received: Input) -> None:
        """Enter the state after an input."""
        self._state = INPUTS[self._state][received]
