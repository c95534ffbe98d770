# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cases on one agent: a fault in what a client does, and what has to be true afterwards."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import time
import typing as t
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from ansible_collections.netless.qga.plugins.module_utils._channels import stream_channel
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import absence, runner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import job_process
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner as warm_runner
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

from .places import Place, Transcript
from .relay import Direction, Relay
from .scenarios import COUNTERS, FILES, SCENARIOS, TEXT, Client, case_name, has_server

# Seconds after which a reply counts as lost. A case whose true reply takes longer ends with an error, as it may.
_REPLY_TIMEOUT = 0.4
_CONNECT_TIMEOUT = 0.8
_USE_TIMEOUT = 10.0

# Seconds that a case may take at most: its deadlines, and what comes after them, with all processors in use.
_TIMEOUT = 30.0


@dataclass
class Tally:
    """The cases so far."""

    phases: Counter[str] = field(default_factory=Counter)
    """How many cases there were in each phase."""
    right: int = 0
    """How many ended with the right result in spite of the fault."""
    errors: int = 0
    """How many ended with an error."""

    def add(self, other: Tally) -> None:
        """Add the cases of another one."""
        self.phases += other.phases
        self.right += other.right
        self.errors += other.errors


class Cases:
    """Cases on one agent. Use it in a ``with`` block.

    :param guest: the guest, which has to be a sandbox, since executions are counted in its files.
    """

    def __init__(self, guest: SandboxedAgent) -> None:
        # The agent has another process id when it was restarted, but the same root.
        self._root = pathlib.Path(f"/proc/{guest.pid}/root")
        self._agent = guest.socket_path
        self._stack = contextlib.ExitStack()
        self.tally = Tally()

    def __enter__(self) -> Cases:
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="qga-", dir="/tmp"))
            stack.enter_context(_patience(directory))
            self._endpoint = f"unix:{directory}/relay.sock"
            self._relay = stack.enter_context(Relay(f"{directory}/relay.sock", self._agent))
            for name in (COUNTERS, FILES):
                self._in_guest(name).mkdir(exist_ok=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def transcripts(self) -> dict[str, Transcript]:
        """Return what each scenario sends without a fault."""
        return {name: self._transcript(name) for name in SCENARIOS}

    def _transcript(self, name: str) -> Transcript:
        if name == "module":
            self._have_server()
        self._relay.reset(None)
        with contextlib.closing(Client(self._endpoint, 0)) as client:
            assert SCENARIOS[name].use(client) == SCENARIOS[name].expected
            closing = len(self._relay.passed[Direction.TO_AGENT])
        if SCENARIOS[name].counts:
            self._in_guest(f"{COUNTERS}/{case_name(0)}").unlink()
        return Transcript({way: bytes(data) for way, data in self._relay.passed.items()}, closing)

    def run(self, number: int, place: Place) -> None:
        """Run one case.

        :param number: a number from 1 that no other case on this agent has.
        :raises AssertionError: a promise is broken. The message has the case's place.
        """
        if place.scenario == "module" and not has_server(self._endpoint):
            self._have_server()
        self._relay.reset(place.fault)
        started = time.monotonic()
        was_right = self._use(number, place)
        self._relay.reset(None)
        with contextlib.closing(Client(self._endpoint, number)) as client:
            assert client.call() == SCENARIOS["call"].expected, place
        assert time.monotonic() - started < _TIMEOUT, place
        if SCENARIOS[place.scenario].counts:
            executions = self._executions(number)
            assert executions == 1 or (not was_right and not executions), f"{place}: {executions} executions"
        if place.scenario == "file" and was_right:
            written = self._in_guest(f"{FILES}/{case_name(number)}")
            assert written.read_bytes() == TEXT, place
            written.unlink()
        self.tally.phases[place.phase] += 1

    def check_counters(self) -> None:
        """Check that nothing has run twice since the cases ended.

        :raises AssertionError: something has.
        """
        twice = [path.name for path in self._in_guest(COUNTERS).iterdir() if path.stat().st_size > 1]
        assert not twice, f"executed more than once: the cases {twice}"

    def _use(self, number: int, place: Place) -> bool:
        """Return whether the scenario had its right result. Another result is an error of this collection."""
        scenario = SCENARIOS[place.scenario]
        client = Client(
            self._endpoint, number, connect_timeout=_CONNECT_TIMEOUT, reply_timeout=_REPLY_TIMEOUT, seconds=_USE_TIMEOUT
        )
        with contextlib.closing(client):
            try:
                result = scenario.use(client)
            except QgaError as exc:
                assert self._endpoint in str(exc), f"{place}: {exc}"
                self.tally.errors += 1
                return False
        assert result == scenario.expected, f"{place}: {result!r}"
        self.tally.right += 1
        return True

    def _have_server(self) -> None:
        """Have a kept interpreter, started through a channel that works, with large requests."""
        self._relay.reset(None)
        with contextlib.closing(Client(self._endpoint, 0, chunk=None)) as client:
            assert client.run_module() == SCENARIOS["module"].expected
        self._in_guest(f"{COUNTERS}/{case_name(0)}").unlink()

    def _executions(self, number: int) -> int:
        path = self._in_guest(f"{COUNTERS}/{case_name(number)}")
        return path.stat().st_size if path.exists() else 0

    def _in_guest(self, path: str) -> pathlib.Path:
        return self._root / path.lstrip("/")


@contextlib.contextmanager
def _patience(directory: str) -> t.Iterator[None]:
    """Shorten how long the client looks for what is lost, since each of that is there or gone for good."""
    changed = (
        (absence, "_AWAY_TIMEOUT", 1.0),
        (job_process, "_CLAIM_TIMEOUT", 3.0),
        (job_process, "_WITHDRAW_TIMEOUT", 2.0),
        (runner, "_APPEAR_TIMEOUT", 0.5),
        (stream_channel, "_MIN_SYNC_TIMEOUT", 0.2),
        (warm_runner, "LINGER", 1),
    )
    before = [getattr(module, name) for module, name, dummy in changed]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for module, name, seconds in changed:
        setattr(module, name, seconds)
    os.environ["XDG_RUNTIME_DIR"] = directory
    try:
        yield
    finally:
        for (module, name, dummy), value in zip(changed, before):
            setattr(module, name, value)
        os.environ.pop("XDG_RUNTIME_DIR")
        if runtime is not None:
            os.environ["XDG_RUNTIME_DIR"] = runtime
