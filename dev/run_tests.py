# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run every test, or the parts named on the command line, and print last how many passed and failed.

The output of each step goes to a file under tests/output/logs. The output of a step that failed is printed as well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import pythons
from .plan import PARTS, Plan, Step, make_plan
from .results import OUTPUT, ROOT, Count, without_preparations

LOGS = OUTPUT / "logs"
STEP_TIMEOUT = 25 * 60
"""Seconds; a step that takes longer hangs."""
LOW_PRIORITY = "10"
"""A niceness, as nice(1) takes it."""
CLEANUP_TIMEOUT = 60
"""Seconds for a step that hangs to end what it started."""


class Runner:
    """Runs the steps of a plan, and adds up what they pass and fail.

    :param environment: the steps' environment variables.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._running: set[subprocess.Popen[bytes]] = set()
        self._reporting = threading.Lock()
        self._stopped = False
        self.total = Count()

    def run_plan(self, plan: Plan) -> None:
        """Run the phases of a plan one after the other, and the lanes of each in parallel."""
        with ThreadPoolExecutor() as pool:
            try:
                for lanes in plan.phases:
                    for lane in [pool.submit(self.run, steps) for steps in lanes]:
                        lane.result()
            except KeyboardInterrupt:
                self.stop()
                raise

    def run(self, steps: Sequence[Step]) -> None:
        """Run steps one after the other, and report each."""
        for step in steps:
            if self._stopped:
                return
            log = LOGS / f"{step.part}-{step.name}.log"
            started = time.monotonic()
            problem = self._execute(step, log)
            with self._reporting:
                self._report(step, problem, log, time.monotonic() - started)

    def _execute(self, step: Step, log: Path) -> str:
        """Run the command of a step and return what went wrong, or an empty text."""
        with (
            log.open("wb") as output,
            subprocess.Popen(
                step.command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            self._running.add(process)
            if step.is_patient:
                _lower_priority(process.pid)
            try:
                status = process.wait(timeout=STEP_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=CLEANUP_TIMEOUT)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return f"still running after {STEP_TIMEOUT} s"
            finally:
                self._running.discard(process)
        return f"exit status {status}" if status else ""

    def _report(self, step: Step, problem: str, log: Path, seconds: float) -> None:
        text = log.read_text(encoding="utf-8", errors="replace")
        try:
            count = step.count(not problem, text)
        except (OSError, ValueError, ET.ParseError) as error:
            count = Count()
            problem = problem or f"no results: {error}"
        if problem and not count.failed:
            count += Count(failed=1)
        self.total += count

        if count.failed:
            print("\n".join(f"    {line}" for line in without_preparations(text).splitlines()))
        verdict = "FAILED" if count.failed else "ok"
        print(f"{verdict:8}  {step.part}, {step.name}: {count} in {seconds:.0f} s {problem}".rstrip(), flush=True)

    def stop(self) -> None:
        """End the steps that are running, and start no more."""
        self._stopped = True
        for process in list(self._running):
            os.killpg(process.pid, signal.SIGTERM)


def _lower_priority(session: int) -> None:
    """Let all processes of a session leave the processors to others.

    Linux divides the processors between sessions, and in each of them by the priorities of its processes, see
    sched(7). Where it does not, nothing changes.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{session}/autogroup").write_text(LOW_PRIORITY, encoding="ascii")


def main() -> int:
    """Run the parts that the command line names, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args().parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"a part is one of {', '.join(PARTS)}")

    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    found = pythons.find_pythons()
    plan = make_plan(parts, list(found))

    # With CI=true the formatters check without rewriting.
    # Most of what pip installs is never imported.
    runner = Runner(dict(os.environ, CI="true", LC_ALL="C.UTF-8", PATH=pythons.path_for(found), PIP_NO_COMPILE="1"))
    try:
        runner.run_plan(plan)
    except KeyboardInterrupt:
        runner.stop()
        return 130

    for reason in plan.not_run:
        print(f"Not run: {reason}")
    (OUTPUT / "count").write_text(f"{runner.total}\n", encoding="utf-8")
    print(runner.total, flush=True)
    return 1 if runner.total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
