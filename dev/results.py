# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts what a step of the tests passed and failed, from its exit status, its log and its reports."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .integration_targets import targets

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "output"


@dataclass(frozen=True)
class Count:
    """Numbers of tests and checks."""

    passed: int = 0
    failed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


Counter = Callable[[bool, str], Count]
"""Counts what a step has passed and failed: its arguments are whether the step exited with 0, and its log."""


def one_check(success: bool, _log: str) -> Count:
    """Count the whole step as one check."""
    return Count(passed=int(success), failed=int(not success))


def preparation(success: bool, _log: str) -> Count:
    """Count a step that checks nothing itself: only its failure counts."""
    return Count(failed=int(not success))


def unit_test_results(_success: bool, log: str) -> Count:
    """Add up pytest's closing lines: ansible-test starts it twice, for the controller and for targets."""
    closing_lines = re.findall(r"^=+ (.*) in [\d.]+s.* =+$", log, re.M)
    counts = [(int(number), what) for line in closing_lines for number, what in re.findall(r"(\d+) (\w+)", line)]
    return Count(
        passed=sum(number for number, what in counts if what in ("passed", "xfailed")),
        failed=sum(number for number, what in counts if what in ("failed", "xpassed", "error", "errors")),
    )


def target_results(_success: bool, log: str) -> Count:
    """Count the integration test targets that ansible-test has run."""
    run = targets() & set(re.findall(r"^Running (\S+) integration test ", log, re.M))
    listed = re.search(r"listed below \(out of \d+\) failed\..*\n((?:[\w.-]+\n)+)", log)
    failed = set(listed.group(1).split()) if listed else set()
    return Count(passed=len(run - failed), failed=len(failed))


def coverage_results(minimum: Mapping[str, float]) -> Counter:
    """Return a counter of unit tests and of files: a file passes if its tests reach enough of its lines and branches.

    The counter prints the coverage of each file.

    :param minimum: the share of lines and of branches that has to be reached, by the file's path in the collection.
    """

    def count_covered(success: bool, log: str) -> Count:
        count = unit_test_results(success, log)
        if not success:
            return count
        report = max((OUTPUT / "reports").glob("coverage=units=*.xml"), key=lambda path: path.stat().st_mtime)
        rates = {element.get("filename", ""): _coverage(element) for element in ET.parse(report).iter("class")}
        for file, share in minimum.items():
            lines, branches = next((rate for name, rate in rates.items() if name.endswith(file)), (0.0, 0.0))
            print(f"          {file}: {lines:.1%} of the lines, {branches:.1%} of the branches")
            count += one_check(min(lines, branches) >= share, "")
        return count

    return count_covered


def _coverage(element: ET.Element) -> tuple[float, float]:
    return float(element.get("line-rate", 0)), float(element.get("branch-rate", 0))


def without_preparations(log: str) -> str:
    """Return the log without ansible-test's description of the machine and pip's downloads."""
    log = re.sub(r"^nox > ansible-test env .*?(?=^nox > )", "", log, flags=re.M | re.S)
    return re.sub(
        r"^(WARNING: Location|Looking in|Collecting|Processing|  Downloading|     ━).*\n", "", log, flags=re.M
    )
