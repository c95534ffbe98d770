# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of states are complete, and the state changes in no other way."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import (
    ACTIONS,
    IN_SYNC,
    INPUTS,
    Action,
    State,
    StateMachine,
)


def test_tables_have_a_row_for_each_state() -> None:
    assert set(ACTIONS) == set(INPUTS) == set(State)


def test_every_state_can_be_reached() -> None:
    reached = {State.NEVER_SYNCED}
    tables: list[t.Mapping[State, t.Mapping[t.Any, State]]] = [ACTIONS, INPUTS]
    for dummy in State:
        reached |= {after for table in tables for state in reached for after in table[state].values()}
    assert reached == set(State)


def test_requests_are_sent_in_sync_only() -> None:
    assert {state for state in State if Action.SEND in ACTIONS[state]} == IN_SYNC


def test_action_that_is_not_allowed_changes_nothing() -> None:
    machine = StateMachine()
    with pytest.raises(StateError, match="cannot send a request while never synced"):
        machine.act(Action.SEND)
    assert machine.state is State.NEVER_SYNCED


def test_state_is_read_only() -> None:
    with pytest.raises(AttributeError):
        Session().state = State.IDLE  # type: ignore[misc]
