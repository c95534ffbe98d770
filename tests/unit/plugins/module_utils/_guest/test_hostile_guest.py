# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that lies in every member of every reply: what the connection does with it ends in time."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils import _deadline as deadlines
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError
from ansible_collections.netless.qga.tests.guests.lying_agent import LyingAgent, lies_about
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.warm.payloads import payload

SECONDS = 20.0
"""What may take a call with one lie. Most take some milliseconds."""


class Clock:
    """A clock of deadlines that leaps where they would sleep."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._ahead += max(1.0, seconds)


class Doors:
    """What the connection does with a guest."""

    def __init__(self, endpoint: str, directory: pathlib.Path) -> None:
        target = Target(Address(endpoint), connect_timeout=5, reply_timeout=5, persist=0)
        self.agent = target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)
        self.directory = directory
        self.files = Files(self.agent)
        self.programs = ProgramRunner(self.agent, self.files)
        self.warm = WarmRunner(endpoint, self.agent, self.files, lambda: self.programs)
        self.payload = payload("print(1)")

    def close(self) -> None:
        """Remove what was left in the guest, and close the channel."""
        self.programs.close()
        self.agent.close()


def run_raw(guest: Doors) -> object:
    return guest.programs.run(["cat"], deadline=Deadline.after(5))


def run_with_prompt(guest: Doors) -> object:
    return guest.programs.run(["cat"], prompt_handler=lambda output, waited: b"word\n", deadline=Deadline.after(5))


def run_payload(guest: Doors) -> object:
    argv = ["/bin/sh", "-c", "/usr/bin/python3"]
    return guest.warm.run(argv, guest.payload, key="key", deadline=Deadline.after(5))


def copy_file(guest: Doors) -> None:
    guest.files.put(__file__, "/srv/there", deadline=Deadline.after(5))


def fetch_file(guest: Doors) -> None:
    guest.files.get("/srv/there", str(guest.directory / "dest"), deadline=Deadline.after(5))


DOORS = (run_raw, run_with_prompt, run_payload, copy_file, fetch_file)


@pytest.mark.parametrize("use", DOORS, ids=lambda use: use.__name__)
def test_connection_survives_every_lie(
    use: t.Callable[[Doors], object], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "time", Clock())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    agent = LyingAgent({})
    with agent.listening() as path:
        with contextlib.closing(Doors(f"unix:{path}", tmp_path)) as honest:
            use(honest)
        for lie in lies_about(agent.answered, use.__name__):
            agent.lie = lie
            started = time.monotonic()
            try:
                with contextlib.closing(Doors(f"unix:{path}", tmp_path)) as guest:
                    use(guest)
            except QgaError as exc:
                assert str(exc).isprintable() and len(str(exc)) < 3000, (lie, exc)
            assert time.monotonic() - started < SECONDS, lie
    assert {path.name for path in tmp_path.iterdir()} <= {"dest", f"netless-qga-{os.geteuid()}"}
