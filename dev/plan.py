# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of all tests: which can run on this machine, in which order, and which of them run in parallel."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import pythons
from .integration_targets import targets, vm_targets
from .results import ROOT, Counter, coverage_results, one_check, preparation, target_results, unit_test_results

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
    "docs-check",
    "docs",
    "dist",
)
SUITES = ("bullseye", "bookworm", "trixie", "forky")
"""The Debian suites of the integration tests' guests."""
_FRAMING = sorted(
    f"plugins/module_utils/framing/{path.name}"
    for path in (ROOT / "plugins/module_utils/framing").glob("*.py")
    # Its imports for mypy never run.
    if path.name != "__init__.py"
)
MIN_COVERAGE = {**dict.fromkeys(_FRAMING, 1.0), "plugins/module_utils/_agent/agent.py": 0.95}
"""Files of which the unit tests have to reach every line and branch, or nearly all of them, as a share."""
COVERING_TESTS = ("_agent/test_agent.py", "_channels/test_stream_channel*.py", "framing/test_*.py")
"""The unit tests that reach these files. Only they measure it, because measuring makes tests several times as slow."""
WITH_DRAWN_INPUTS = {"test_session_model.py", "test_session_properties.py"}
"""Tests of them that add nothing to what is reached, and take longer than all others together."""
UNIT_TESTS = "tests/unit/plugins/"
MODULE_UTILS = f"{UNIT_TESTS}module_utils/"
MODULES = f"{UNIT_TESTS}modules/"
WITH_ANSIBLE = tuple(
    f"{UNIT_TESTS}{path.name}/"
    for path in sorted((ROOT / UNIT_TESTS).glob("[a-z]*"))
    if path.is_dir() and f"{UNIT_TESTS}{path.name}/" not in (MODULE_UTILS, MODULES)
)
"""Unit tests of plugins, for which the version of ansible-core matters most: all others. Playbooks test modules."""
LOW_LEVEL = tuple(
    f"{MODULE_UTILS}{room}/"
    for room in ("_agent", "_channels", "_connection_process", "_local", "_schema", "_transports", "framing")
)
"""Unit tests of bytes, texts, sockets and processes, in which Pythons differ most."""
WITHOUT_ANSIBLE = {"guest"}
"""Targets that do the same with every ansible-core, and take long."""
WITH_OLDER_ANSIBLE = {"connection_core", "connection_tasks"}
"""Targets that run with an older ansible-core too: they are about what ansible-core does with a connection."""
VM_GUESTS = ("bookworm", "qemu")
"""The virtual machines of the integration tests."""


@dataclass(frozen=True)
class Step:
    """One command.

    :param part: the part of the tests that it belongs to.
    :param name: names its log.
    :param count: counts what it passed and failed.
    """

    part: str
    name: str
    command: Sequence[str]
    count: Counter = one_check

    @property
    def is_patient(self) -> bool:
        """Whether nothing in it has a deadline, so that it can leave the processors to others."""
        return self.part in ("lint", "typing", "sanity") or self.name == "simulate"


def nox(part: str, session: str, *arguments: str, count: Counter = one_check) -> Step:
    """Return a step that runs a nox session."""
    program = str(Path(sys.executable).with_name("nox"))
    command = [program, "--nocolor", "--reuse-existing-virtualenvs", "--session", session, "--", *arguments]
    return Step(part, session, command, count)


def unit_tests_on(core: str, version: str, *paths: str) -> Step:
    """Return a step for one Python: ansible-test does not go on to the next one when a test fails."""
    step = nox("units", f"units-{core}", "--python", version, *paths, count=unit_test_results)
    return replace(step, name=f"core-{core}-python-{version}")


@dataclass
class Plan:
    """The steps that can run on this machine, cheap ones first, and what cannot.

    The lanes of a phase run in parallel. In a phase, all steps of one session are in one lane, because nox and
    ansible-test make their environments without a lock. Emulated virtual machines take the processors, and so they run
    next to what can wait.
    """

    checks: list[Step] = field(default_factory=list)
    machines: list[Step] = field(default_factory=list)
    short_tests: list[Step] = field(default_factory=list)
    playbooks: list[Step] = field(default_factory=list)
    guests: list[Step] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    @property
    def phases(self) -> list[list[list[Step]]]:
        """The lanes of each phase."""
        return [[self.checks, self.machines], [self.short_tests, self.playbooks, self.guests]]

    def keep(self, parts: Sequence[str]) -> None:
        """Drop the steps of other parts."""
        for steps in itertools.chain.from_iterable(self.phases):
            steps[:] = [step for step in steps if step.part in parts]


def make_plan(parts: Sequence[str], available: Sequence[str]) -> Plan:
    """Return the plan for some parts.

    :param available: versions of the Pythons on this machine, newest first.
    """
    plan = Plan()
    absent = [version for version in pythons.TARGETS if version not in available]
    if absent:
        plan.not_run.append(f"Python {', '.join(absent)}: not installed")
    controllers = {}
    for core, versions in pythons.CONTROLLERS.items():
        found = [version for version in versions if version in available]
        if found:
            controllers[core] = found
        else:
            plan.not_run.append(f"ansible-core {core}: it needs Python {', '.join(versions)}")

    plan.checks += [nox("lint", session) for session in LINTERS]
    if shutil.which("chromium"):
        # It shows what the session docs builds.
        plan.checks.append(nox("lint", "screenshots"))
    else:
        plan.not_run.append("screenshots: no chromium")
    plan.checks.append(nox("typing", "typing"))
    plan.checks.append(nox("units", "simulate"))
    _add_unit_tests(plan, controllers, available)
    if os.geteuid() == 0:
        _add_integration_tests(plan, sorted(controllers, reverse=True))
    elif {"integration", "vms"} & set(parts):
        plan.not_run.append("integration, vms: only root can make guests without a network")

    plan.keep(parts)
    return plan


def _add_unit_tests(plan: Plan, controllers: dict[str, list[str]], available: Sequence[str]) -> None:
    newest_core, *older_cores = sorted(controllers, reverse=True)
    newest_python = controllers[newest_core][0]
    others = (f"tests/unit/{path.name}/" for path in sorted((ROOT / "tests/unit").iterdir()) if path.is_dir())
    found = {path for tests in COVERING_TESTS for path in (ROOT / MODULE_UTILS).glob(tests)}
    covering = {str(path.relative_to(ROOT)) for path in found if path.name not in WITH_DRAWN_INPUTS}
    coverage = ["--coverage", "--python", newest_python, *sorted(covering)]
    # The tests that measure coverage run with the newest Python, too.
    module_utils = {str(path.relative_to(ROOT)) for path in (ROOT / MODULE_UTILS).rglob("test_*.py")} - covering
    newest = [*sorted(module_utils), *WITH_ANSIBLE, *(path for path in others if path != UNIT_TESTS)]
    plan.short_tests.append(unit_tests_on(newest_core, newest_python, *newest))
    plan.short_tests.append(unit_tests_on(newest_core, available[-1], MODULES, *LOW_LEVEL))
    plan.short_tests.append(nox("coverage", f"units-{newest_core}", *coverage, count=coverage_results(MIN_COVERAGE)))
    plan.checks.append(nox("sanity", f"sanity-{newest_core}"))
    # Its pylint takes longer than all the rest together. make test-cores runs it.
    plan.checks += [nox("sanity", f"sanity-{core}", "--skip-test", "pylint") for core in older_cores]
    # One Python is enough, the oldest that this ansible-core supports.
    plan.short_tests += [unit_tests_on(core, controllers[core][-1], *WITH_ANSIBLE) for core in older_cores]


def _add_integration_tests(plan: Plan, cores: Sequence[str]) -> None:
    newest_core, *older_cores = cores
    plan.checks.append(Step("integration", "guest-trees", [sys.executable, GUEST_TREES, *SUITES], preparation))
    core_targets = [sys.executable, "-m", "tests.core_targets"]
    plan.checks.append(Step("integration", "core-targets-tree", core_targets, preparation))
    schema = [sys.executable, "-m", "dev.generate_schema", "--check"]
    plan.checks.append(Step("integration", "schema", schema))
    plan.checks.append(nox("integration", f"core_targets-{newest_core}", "-m", "not long", count=unit_test_results))
    for core in older_cores:
        step = nox("integration", f"integration-{core}", *sorted(WITH_OLDER_ANSIBLE), count=target_results)
        plan.checks.append(step)
    lab = [sys.executable, "-m", "tests.lab", "prepare", *VM_GUESTS]
    plan.machines.append(Step("vms", "guests", lab, preparation))
    for target in sorted(vm_targets()):
        step = nox("vms", f"vms-{newest_core}", target, count=target_results)
        plan.machines.append(replace(step, name=target))

    with_ansible = sorted(targets() - vm_targets() - WITHOUT_ANSIBLE)
    plan.playbooks.append(nox("integration", f"integration-{newest_core}", *with_ansible, count=target_results))
    plan.playbooks.append(Step("integration", "demo", ["make", "demo"]))
    for session in ("guests", "awx", "eda", "tarball"):
        plan.short_tests.append(nox("integration", session, count=unit_test_results))
    plan.short_tests.append(nox("integration", "guide_output"))
    for target in sorted(WITHOUT_ANSIBLE):
        step = nox("integration", f"integration-{cores[-1]}", target, count=target_results)
        (plan.guests if older_cores else plan.playbooks).append(replace(step, name=target))
