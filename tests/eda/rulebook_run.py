# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run of ansible-rulebook, and what it prints."""

from __future__ import annotations

import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

import yaml

from ansible_collections.netless.qga.tests.guests.play_controller import play_environment

_INVENTORY = f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
_MARK = "EVENT "
_SHOWN = "{{ event.agent.event }} {{ event.agent.host }} {{ event.agent.rebooted | default('-') }}"


class RulebookRun:
    """ansible-rulebook, as long as the ``with`` block lasts. It finds the collection, but cannot import it by itself.

    :param directory: for its files.
    :param source: the options of the event source.
    :param rules: rules before the one that shows each event.
    """

    def __init__(self, directory: pathlib.Path, source: dict[str, Any], rules: list[dict[str, Any]]) -> None:
        self._directory = directory
        show = {"debug": {"msg": _MARK + _SHOWN}}
        everything = {"name": "Show each event", "condition": "event.agent.event is defined", "action": show}
        self._rulebook = [
            {
                "name": "Watch agents",
                "hosts": "all",
                # Without this, only the first rule that matches acts.
                "match_multiple_rules": True,
                "sources": [{"name": "agents", "netless.qga.agents": source}],
                "rules": [*rules, everything],
            }
        ]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.output = ""

    def __enter__(self) -> RulebookRun:
        rulebook, inventory = self._directory / "rulebook.yml", self._directory / "inventory"
        rulebook.write_text(yaml.safe_dump(self._rulebook), encoding="utf-8")
        inventory.write_text(_INVENTORY, encoding="utf-8")
        programs = pathlib.Path(sys.executable).parent
        environment = play_environment(self._directory, PATH=f"{programs}:{os.environ['PATH']}")
        environment.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [str(programs / "ansible-rulebook"), "--rulebook", str(rulebook), "--inventory", str(inventory)],
            cwd=self._directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def next_event(self, timeout: float = 120) -> str:
        """Return the event, the host and whether it rebooted, from the next line that shows an event.

        :raises AssertionError: there is none within the timeout.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, self.output
            self.output += line
            if _MARK in line:
                return line.partition(_MARK)[2].strip()

    def stop(self, timeout: float = 60) -> int:
        """Interrupt ansible-rulebook as a user does, and return its status.

        :raises TimeoutError: it does not end.
        """
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(timeout)
        while (line := self._lines.get(timeout=timeout)) is not None:
            self.output += line
        return status
