# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel learns from the sync whether the agent repeats ids, before it sends anything else."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from ..conftest import Dial
from .test_stream_channel import COUNT, PING, commands, count_up, soon, values

IDS_REFUSED = b'{"error": {"class": "GenericError", "desc": "QMP input member \'id\' is unexpected"}}\n'

# The reply to a stray character in the agent's input.
STRAY_BRACE = b'{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}\n'


def test_ids_are_not_sent_to_an_agent_that_refuses_them(dial: Dial) -> None:
    agent = ScriptedAgent("no_ids")
    channel = dial(agent)
    assert values(channel, PING, PING) == [{}, {}]
    assert values(channel, PING) == [{}]
    # Only the first sync was refused because of its id. Another one without an id follows.
    assert [(request["execute"], "id" in request) for request in agent.requests] == [
        ("guest-sync-delimited", True),
        ("guest-sync-delimited", False),
        *[("guest-ping", False)] * 3,
    ]


@pytest.mark.parametrize(
    ("profiles", "sent"),
    [
        (["modern"], [("guest-sync-delimited", True)]),
        (["ignores_ids"], [("guest-sync-delimited", True)]),
        (["no_ids"], [("guest-sync-delimited", True), ("guest-sync-delimited", False)]),
        (["no_delimited"], [("guest-sync-delimited", True), ("guest-sync", True)]),
        (
            ["no_ids", "no_delimited"],
            [("guest-sync-delimited", True), ("guest-sync-delimited", False), ("guest-sync", False)],
        ),
    ],
)
def test_sync_adapts_to_agents_of_every_age(dial: Dial, profiles: list[str], sent: list[tuple[str, bool]]) -> None:
    agent = ScriptedAgent(*profiles)
    assert dial(agent).sync(soon()).delimited == ("no_delimited" not in profiles)
    assert [(request["execute"], "id" in request) for request in agent.requests] == sent


@pytest.mark.parametrize("profile", ["modern", "ignores_ids", "no_ids"])
@pytest.mark.parametrize("copies", [1, 100])
def test_refused_ids_of_earlier_clients_cost_at_most_one_sync(dial: Dial, profile: str, copies: int) -> None:
    agent = ScriptedAgent(profile)
    count_up(agent)
    agent.greeting = IDS_REFUSED * copies
    channel = dial(agent)
    assert values(channel, COUNT, COUNT) == [1, 2]
    assert commands(agent) == ["guest-sync-delimited"] * 2 + ["guest-get-time"] * 2
    # A current agent has answered the first sync too, so it still gets ids.
    assert ["id" in request for request in agent.requests[2:]] == [profile == "modern"] * 2


@pytest.mark.parametrize("stray", [STRAY_BRACE, IDS_REFUSED, b'{"return": "not ours"}\n'])
@pytest.mark.parametrize("profile", ["modern", "no_delimited"])
def test_line_without_id_before_the_first_answer_is_discarded(dial: Dial, profile: str, stray: bytes) -> None:
    agent = ScriptedAgent(profile)
    count_up(agent)
    agent.deliveries.append(lambda line: [stray, line])
    channel = dial(agent)
    # The first request after the sync is no exception.
    assert values(channel, COUNT) == [1]
    assert values(channel, COUNT, COUNT) == [2, 3]
