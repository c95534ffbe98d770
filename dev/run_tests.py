# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs every test there is, or the parts named on the command line, and says last how many passed and failed.

The output of each step goes to a file under tests/output/logs; that of a step that failed is shown as well.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import pythons

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "output"
LOGS = OUTPUT / "logs"
TARGETS = ROOT / "tests" / "integration" / "targets"
GUEST_TREES = "tests/guests/trees.py"

PARTS = ("lint", "typing", "units", "coverage", "sanity", "integration", "vms")
LINTERS = (
    "extra-checks",
    "antsibull-nox-config",
    "changelog",
    "formatters",
    "yamllint",
    "license-check",
    "ansible-lint",
    "codeqa",
    "layers",
    "commits",
    "build-import-check",
    "docs-check",
)
SUITES = ("bullseye", "bookworm", "trixie", "forky")
"""The guests of the integration tests."""
WELL_COVERED = ("plugins/module_utils/framing/session.py", "plugins/module_utils/_agent/agent.py")
COVERING = "tests/unit/plugins/module_utils"
COVERING_TESTS = ("_agent/test_agent.py", "_channels/test_stream_channel*.py", "framing/test_session*.py")
"""Those that are to reach them. Measuring it makes tests several times as slow, so the others do without."""
COVERAGE_REQUIRED = 0.95
WITH_ANSIBLE = ("tests/unit/plugins/action/", "tests/unit/plugins/modules/", "tests/unit/plugins/plugin_utils/")
"""Unit tests for which it matters which ansible-core there is."""
MODULE_UTILS = "tests/unit/plugins/module_utils/"
"""Unit tests of nearly all that a Python has to run for a module."""
WITHOUT_ANSIBLE = {"guest"}
"""Targets for which one ansible-core is as good as another."""
VM_TARGETS = "vm_*"
VM_GUESTS = ("bookworm", "qemu")
"""The virtual machines of the integration tests."""
TIME_LIMIT = 10 * 60
"""Seconds; a step that takes longer hangs."""
TIME_TO_CLEAN_UP = 60
"""Seconds that it has for ending what it started."""


@dataclass(frozen=True)
class Count:
    passed: int = 0
    failed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


def one_check(success: bool, _log: str) -> Count:
    return Count(passed=int(success), failed=int(not success))


def preparation(success: bool, _log: str) -> Count:
    return Count(failed=int(not success))


def unit_test_results(_success: bool, log: str) -> Count:
    """The sum of pytest's closing lines: ansible-test starts it twice, for the controller and for targets."""
    closing_lines = re.findall(r"^=+ (.*) in [\d.]+s.* =+$", log, re.M)
    counts = [(int(number), what) for line in closing_lines for number, what in re.findall(r"(\d+) (\w+)", line)]
    return Count(
        passed=sum(number for number, what in counts if what in ("passed", "xfailed")),
        failed=sum(number for number, what in counts if what in ("failed", "xpassed", "error", "errors")),
    )


def targets() -> set[str]:
    """The integration test targets, without those that are a step of others."""
    aliases = {path.parent.name: set(path.read_text().split()) for path in TARGETS.glob("*/aliases")}
    names = {path.name for path in TARGETS.glob("*") if path.is_dir()}
    return {name for name in names if not {"hidden", "disabled"} & aliases.get(name, set())}


def vm_targets() -> set[str]:
    """Those that need virtual machines."""
    return {path.name for path in TARGETS.glob(VM_TARGETS)}


def target_results(_success: bool, log: str) -> Count:
    run = targets() & set(re.findall(r"^Running (\S+) integration test ", log, re.M))
    listed = re.search(r"listed below \(out of \d+\) failed\..*\n((?:[\w.-]+\n)+)", log)
    failed = set(listed.group(1).split()) if listed else set()
    return Count(passed=len(run - failed), failed=len(failed))


def coverage_of(element: ET.Element) -> tuple[float, float]:
    return float(element.get("line-rate", 0)), float(element.get("branch-rate", 0))


def covered_unit_tests(success: bool, log: str) -> Count:
    """The tests, and one check for each file of :data:`WELL_COVERED`, whose coverage is printed."""
    count = unit_test_results(success, log)
    if not success:
        return count
    report = max((OUTPUT / "reports").glob("coverage=units=*.xml"), key=lambda path: path.stat().st_mtime)
    rates = {element.get("filename", ""): coverage_of(element) for element in ET.parse(report).iter("class")}
    for file in WELL_COVERED:
        lines, branches = next((rate for name, rate in rates.items() if name.endswith(file)), (0.0, 0.0))
        print(f"          {file}: {lines:.1%} of the lines, {branches:.1%} of the branches")
        count += one_check(min(lines, branches) >= COVERAGE_REQUIRED, "")
    return count


def without_preparations(log: str) -> str:
    """The log without what ansible-test tells of the machine and pip of its downloads."""
    log = re.sub(r"^nox > ansible-test env .*?(?=^nox > )", "", log, flags=re.M | re.S)
    return re.sub(
        r"^(WARNING: Location|Looking in|Collecting|Processing|  Downloading|     ━).*\n", "", log, flags=re.M
    )


@dataclass(frozen=True)
class Step:
    part: str
    name: str
    command: Sequence[str]
    count: Callable[[bool, str], Count] = one_check


def nox(part: str, session: str, *arguments: str, count: Callable[[bool, str], Count] = one_check) -> Step:
    program = str(Path(sys.executable).with_name("nox"))
    command = [program, "--nocolor", "--reuse-existing-virtualenvs", "--session", session, "--", *arguments]
    return Step(part, session, command, count)


def unit_tests_on(core: str, version: str, *paths: str) -> Step:
    """One Python a step: ansible-test does not go on to the next when a test fails."""
    step = nox("units", f"units-{core}", "--python", version, *paths, count=unit_test_results)
    return replace(step, name=f"core-{core}-python-{version}")


@dataclass
class Plan:
    """The steps that can be run here, cheap ones first, and what can not be.

    Lanes of one stage run side by side. The unit tests with one ansible-core share one, as ansible-test makes their
    environments without a lock. Virtual machines, which take all processors, come alone.
    """

    checks: list[Step] = field(default_factory=list)
    unit_tests: list[Step] = field(default_factory=list)
    newest: list[Step] = field(default_factory=list)
    older: list[Step] = field(default_factory=list)
    machines: list[Step] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)

    @property
    def stages(self) -> list[list[list[Step]]]:
        return [[self.checks, self.unit_tests], [self.newest, self.older], [self.machines]]

    def keep(self, parts: Sequence[str]) -> None:
        for steps in itertools.chain(*self.stages):
            steps[:] = [step for step in steps if step.part in parts]


def make_plan(parts: Sequence[str], here: Sequence[str]) -> Plan:
    plan = Plan()
    absent = [version for version in pythons.TARGETS if version not in here]
    if absent:
        plan.not_here.append(f"Python {', '.join(absent)}: not installed")
    controllers = {}
    for core, versions in pythons.CONTROLLERS.items():
        found = [version for version in versions if version in here]
        if found:
            controllers[core] = found
        else:
            plan.not_here.append(f"ansible-core {core}: it runs on Python {', '.join(versions)} only")

    newest_core, *older_cores = sorted(controllers, reverse=True)
    plan.checks += [nox("lint", session) for session in LINTERS]
    plan.checks.append(nox("typing", "typing"))
    newest_python = controllers[newest_core][0]
    for version in here:
        # For the modules' own the newest and the oldest are enough.
        whole = version in (newest_python, here[-1])
        plan.unit_tests.append(unit_tests_on(newest_core, version, *(() if whole else (MODULE_UTILS,))))
    covering = sorted(str(path.relative_to(ROOT)) for tests in COVERING_TESTS for path in (ROOT / COVERING).glob(tests))
    coverage = ["--coverage", "--python", newest_python, *covering]
    plan.unit_tests.append(nox("coverage", f"units-{newest_core}", *coverage, count=covered_unit_tests))
    plan.checks += [nox("sanity", f"sanity-{core}") for core in controllers]
    # Only what uses ansible-core differs, so one Python is enough: the oldest that this ansible-core runs on.
    plan.checks += [unit_tests_on(core, controllers[core][-1], *WITH_ANSIBLE) for core in older_cores]

    if os.geteuid() == 0:
        plan.checks.append(Step("integration", "guest-trees", [sys.executable, GUEST_TREES, *SUITES], preparation))
        schema = [sys.executable, "-m", "dev.generate_schema", "--check"]
        plan.checks.append(Step("integration", "schema", schema))
        lab = [sys.executable, "-m", "tests.lab", "prepare", *VM_GUESTS]
        plan.checks.append(Step("vms", "guests", lab, preparation))
        native = targets() - vm_targets()
        plan.newest.append(nox("integration", f"integration-{newest_core}", *sorted(native), count=target_results))
        for core in older_cores:
            chosen = sorted(native - WITHOUT_ANSIBLE)
            plan.older.append(nox("integration", f"integration-{core}", *chosen, count=target_results))
        plan.older.append(nox("integration", "guests", count=unit_test_results))
        plan.older.append(Step("integration", "demo", ["make", "demo"]))
        for target in sorted(vm_targets()):
            step = nox("vms", f"integration-{newest_core}", target, count=target_results)
            plan.machines.append(replace(step, name=target))
    elif {"integration", "vms"} & set(parts):
        plan.not_here.append("integration, vms: only root can make guests without a network")

    plan.keep(parts)
    return plan


class Runner:
    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._running: set[subprocess.Popen[bytes]] = set()
        self._reporting = threading.Lock()
        self._stopped = False
        self.total = Count()

    def run(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if self._stopped:
                return
            log = LOGS / f"{step.part}-{step.name}.log"
            started = time.monotonic()
            problem = self._execute(step.command, log)
            with self._reporting:
                self._report(step, problem, log, time.monotonic() - started)

    def _execute(self, command: Sequence[str], log: Path) -> str:
        """Returns what went wrong, or nothing."""
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            self._running.add(process)
            try:
                status = process.wait(timeout=TIME_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=TIME_TO_CLEAN_UP)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return f"still running after {TIME_LIMIT} s"
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
        self._stopped = True
        for process in list(self._running):
            os.killpg(process.pid, signal.SIGTERM)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args().parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"a part is one of {', '.join(PARTS)}")

    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    here = pythons.find_pythons()
    plan = make_plan(parts, list(here))

    # CI=true lets the formatters look without rewriting.
    runner = Runner(dict(os.environ, CI="true", LC_ALL="C.UTF-8", PATH=pythons.path_for(here)))
    try:
        for stage in plan.stages:
            with ThreadPoolExecutor() as lanes:
                try:
                    for lane in [lanes.submit(runner.run, steps) for steps in stage]:
                        lane.result()
                except KeyboardInterrupt:
                    runner.stop()
                    raise
    except KeyboardInterrupt:
        runner.stop()
        return 130

    for reason in plan.not_here:
        print(f"Not run: {reason}")
    (OUTPUT / "count").write_text(f"{runner.total}\n", encoding="utf-8")
    print(runner.total, flush=True)
    return 1 if runner.total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
