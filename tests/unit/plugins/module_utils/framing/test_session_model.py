# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session against a model: an agent that answers in order over a channel that delays, cuts and keeps everything."""

from __future__ import annotations

import json
import typing as t
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    DelimitedSyncMissing,
    Discarded,
    ErrorReply,
    IdsRefused,
    Request,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    IDS_REFUSED,
    NOT_FOUND,
    STRAY_FF,
    new_session,
)

# Some of these have no id, like the reply to a stray character, or to an earlier client that did not use ids.
NOISE = [
    b"\xff",
    b"noise\xff",
    b'\xff{"return": 1}\n',
    b'{"event": "X"}\n',
    b'{"return": {}, "id": 0}\n',
    b'{"error": {"class": "GenericError", "desc": "JSON parse error"}, "id": 0}\n',
    b'{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}\n',
    b'{"return": "not ours"}\n',
    IDS_REFUSED,
    NOT_FOUND,
]


class SessionAndAgent(RuleBasedStateMachine):
    """A session and its agent. Every request carries a number that its answer returns, so that no two are confused."""

    @initialize(ids=st.sampled_from(["echoed", "ignored", "refused"]), delimited=st.booleans())
    def begin(self, ids: str, delimited: bool) -> None:
        self.session: Session = new_session()
        self.ids, self.delimited = ids, delimited
        self.to_agent: deque[bytes] = deque()
        self.from_agent = b""
        self.unanswered: dict[int, int] = {}
        self.tokens = 0
        self.synced = False
        self.syncing = False

    # What the client does

    @rule()
    def sync(self) -> None:
        self.refusals = 0
        self._sync()

    def _sync(self) -> None:
        self.to_agent.append(self.session.sync())
        self.unanswered.clear()
        self.synced, self.syncing = False, True

    @precondition(lambda self: self.synced)
    @rule()
    def send(self) -> None:
        self.tokens += 1
        request = self.session.prepare("test", {"token": self.tokens})
        if self.session.has_room(request):
            self._send(request)

    def _send(self, request: Request) -> None:
        assert self.synced
        self.to_agent.append(self.session.send(request))
        self.unanswered[request.number] = self.tokens
        assert ("id" in json.loads(request.data)) == (self.ids == "echoed")
        assert len(self.unanswered) == 1 or self.ids == "echoed"

    @rule()
    def abandon(self) -> None:
        assert {request.number for request in self.session.abandon()} == set(self.unanswered)
        self.unanswered.clear()
        self.synced = self.syncing = False

    # What the agent does

    @precondition(lambda self: self.to_agent)
    @rule()
    def agent_answers(self) -> None:
        data = self.to_agent.popleft()
        self.from_agent += STRAY_FF * data.count(b"\xff")
        request = json.loads(data.lstrip(b"\xff"))
        if "id" in request and self.ids == "refused":
            self.from_agent += IDS_REFUSED
        elif request["execute"] == "test":
            self._answer_test(request)
        elif request["execute"] == "guest-sync-delimited" and not self.delimited:
            self._reply(request, json.loads(NOT_FOUND))
        else:
            self.from_agent += b"\xff" * (request["execute"] == "guest-sync-delimited")
            self._reply(request, {"return": request["arguments"]["id"]})

    def _answer_test(self, request: dict[str, t.Any]) -> None:
        token = request["arguments"]["token"]
        # The agent refuses a third of the requests.
        reply: dict[str, t.Any] = {"error": {"desc": str(token)}} if token % 3 == 0 else {"return": token}
        self._reply(request, reply)

    def _reply(self, request: dict[str, t.Any], reply: dict[str, t.Any]) -> None:
        if self.ids == "echoed" and "id" in request:
            reply = {**reply, "id": request["id"]}
        self.from_agent += json.dumps(reply).encode() + b"\n"

    # An agent without ids is trusted to send nothing but answers, once it has answered the sync.
    @precondition(lambda self: self.ids == "echoed" or (self.syncing and self.to_agent))
    @rule(noise=st.sampled_from(NOISE))
    def noise_arrives(self, noise: bytes) -> None:
        self.from_agent += noise

    @precondition(lambda self: self.synced and self.ids == "echoed")
    @rule(noise=st.sampled_from(NOISE), requests=st.integers(1, 2))
    def noise_arrives_before_answers(self, noise: bytes, requests: int) -> None:
        for dummy in range(requests):
            self.send()
        self.noise_arrives(noise)
        self.deliver_everything()

    @rule(noise=st.lists(st.sampled_from(NOISE), max_size=3))
    def noise_arrives_before_a_sync_reply(self, noise: list[bytes]) -> None:
        self.sync()
        self.noise_arrives(b"".join(noise))
        self.deliver_everything()
        assert self.synced

    # What the channel does

    @precondition(lambda self: self.from_agent)
    @rule(size=st.integers(1, 200))
    def deliver(self, size: int) -> None:
        self.session.receive_data(self.from_agent[:size])
        self.from_agent = self.from_agent[size:]
        while True:
            event = self.session.next_event()
            if event is None:
                return
            self._check(event)

    @rule()
    def deliver_everything(self) -> None:
        while self.to_agent or self.from_agent:
            if self.to_agent:
                self.agent_answers()
            else:
                self.deliver(200)

    def _check(self, event: object) -> None:
        if isinstance(event, Synced):
            assert self.syncing
            # No request is ever sent to an agent that repeats ids without one.
            assert event.echoes_ids == (self.ids == "echoed")
            self.synced, self.syncing = True, False
        elif isinstance(event, (DelimitedSyncMissing, IdsRefused)):
            # Noise can cause both, with any agent, but not for ever.
            assert self.syncing
            self.refusals += 1
            assert self.refusals <= 3
            self._sync()
        elif isinstance(event, Answer):
            # Noise returns no number that was sent, so it is never taken for an answer.
            assert event.value == self.unanswered.pop(event.number)
        elif isinstance(event, ErrorReply):
            assert event.desc == str(self.unanswered.pop(event.number))
        else:
            assert isinstance(event, Discarded)

    @invariant()
    def state_agrees_with_the_model(self) -> None:
        if self.unanswered:
            assert self.session.state is State.WAITING
        elif self.synced:
            assert self.session.state is State.IDLE
        elif self.syncing:
            assert self.session.state is State.SYNCING
        else:
            assert self.session.state in (State.NEVER_SYNCED, State.OUT_OF_SYNC)
        assert self.synced or not self.session.has_room(self.session.prepare("test"))

    def teardown(self) -> None:
        """Check that a request is answered after a sync, whatever happened before."""
        if not hasattr(self, "session"):
            return
        self.sync()
        self.deliver_everything()
        assert self.synced
        for dummy in range(2):
            self.send()
            assert self.unanswered
            self.deliver_everything()
            assert not self.unanswered


TestSessionAndAgent = SessionAndAgent.TestCase
TestSessionAndAgent.settings = settings(max_examples=150, stateful_step_count=40)
