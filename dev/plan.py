# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of all tests: which can run on this machine, in which order, and which of them run in parallel."""

from __future__ import annotations

import itertools
import os
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
    "build-import-check",
    "docs-check",
)
SUITES = ("bullseye", "bookworm", "trixie", "forky")
"""The Debian suites of the integration tests' guests."""
WELL_COVERED = (
    *sorted(
        f"plugins/module_utils/framing/{path.name}"
        for path in (ROOT / "plugins" / "module_utils" / "framing").glob("*.py")
        if path.name != "__init__.py"
    ),
    "plugins/module_utils/_agent/agent.py",
)
"""Files of which the unit tests have to reach nearly every line and branch."""
COVERING_TESTS = ("_agent/test_agent.py", "_channels/test_stream_channel*.py", "framing/test_*.py")
"""The unit tests that reach these files. Only they measure it, because measuring makes tests several times as slow."""
UNIT_TESTS = "tests/unit/plugins/"
MODULE_UTILS = f"{UNIT_TESTS}module_utils/"
"""Unit tests of nearly everything that a Python has to run for a module."""
WITH_ANSIBLE = tuple(
    f"{UNIT_TESTS}{path.name}/"
    for path in sorted((ROOT / UNIT_TESTS).glob("[a-z]*"))
    if path.is_dir() and path.name != "module_utils"
)
"""Unit tests that use ansible-core, so that its version matters: all others."""
WITHOUT_ANSIBLE = {"guest"}
"""Targets that do the same with every ansible-core."""
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

    The lanes of a stage run in parallel. All unit tests with one ansible-core are in one lane, because ansible-test
    makes their environments without a lock. Virtual machines use all processors, so nothing runs next to them.
    """

    checks: list[Step] = field(default_factory=list)
    unit_tests: list[Step] = field(default_factory=list)
    newest: list[Step] = field(default_factory=list)
    older: list[Step] = field(default_factory=list)
    machines: list[Step] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    @property
    def stages(self) -> list[list[list[Step]]]:
        """The lanes of each stage."""
        return [[self.checks, self.unit_tests], [self.newest, self.older], [self.machines]]

    def keep(self, parts: Sequence[str]) -> None:
        """Drop the steps of other parts."""
        for steps in itertools.chain(*self.stages):
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
    plan.checks.append(nox("typing", "typing"))
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
    for version in available:
        # The modules' own tests run on the newest and the oldest Python only.
        all_tests = version in (newest_python, available[-1])
        plan.unit_tests.append(unit_tests_on(newest_core, version, *(() if all_tests else (MODULE_UTILS,))))
    covering = (path for tests in COVERING_TESTS for path in (ROOT / MODULE_UTILS).glob(tests))
    coverage = ["--coverage", "--python", newest_python, *sorted(str(path.relative_to(ROOT)) for path in covering)]
    plan.unit_tests.append(nox("coverage", f"units-{newest_core}", *coverage, count=coverage_results(WELL_COVERED)))
    plan.checks += [nox("sanity", f"sanity-{core}") for core in controllers]
    # Only tests that use ansible-core can differ, so one Python is enough: the oldest that this ansible-core supports.
    plan.checks += [unit_tests_on(core, controllers[core][-1], *WITH_ANSIBLE) for core in older_cores]


def _add_integration_tests(plan: Plan, cores: Sequence[str]) -> None:
    newest_core, *older_cores = cores
    plan.checks.append(Step("integration", "guest-trees", [sys.executable, GUEST_TREES, *SUITES], preparation))
    schema = [sys.executable, "-m", "dev.generate_schema", "--check"]
    plan.checks.append(Step("integration", "schema", schema))
    lab = [sys.executable, "-m", "tests.lab", "prepare", *VM_GUESTS]
    plan.checks.append(Step("vms", "guests", lab, preparation))
    with_ansible = sorted(targets() - vm_targets() - WITHOUT_ANSIBLE)
    for target in sorted(WITHOUT_ANSIBLE):
        step = nox("integration", f"integration-{newest_core}", target, count=target_results)
        plan.newest.append(replace(step, name=target))
    plan.newest.append(nox("integration", f"integration-{newest_core}", *with_ansible, count=target_results))
    for core in older_cores:
        plan.older.append(nox("integration", f"integration-{core}", *with_ansible, count=target_results))
    plan.older.append(nox("integration", "guests", count=unit_test_results))
    plan.older.append(Step("integration", "demo", ["make", "demo"]))
    for target in sorted(vm_targets()):
        step = nox("vms", f"integration-{newest_core}", target, count=target_results)
        plan.machines.append(replace(step, name=target))
