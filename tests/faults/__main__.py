# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run cases: ``python3 -m tests.faults --cases 100000``. Needs root. ``--place PLACE`` repeats one that failed."""

from __future__ import annotations

import argparse
import sys
import time

from ansible_collections.netless.qga.tests.guests import trees

from . import workers
from .places import Place


def main() -> int:
    """Run the cases, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description="Break the channel to a real agent at any byte.")
    parser.add_argument("--cases", type=int, default=100_000, help="how many cases to run")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--suite", choices=trees.SUITES, action="append", help="the Debian suites of the agents")
    parser.add_argument("--workers", type=int, default=16, help="how many agents to use at a time")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more cases after so long")
    parser.add_argument("--place", type=Place.parse, action="append", help="run only the case of this failure")
    options = parser.parse_args()
    started = time.monotonic()
    report = workers.run(
        options.suite or trees.SUITES,
        first=options.first,
        cases=options.cases,
        workers=options.workers,
        seconds=options.seconds,
        chosen=options.place or (),
    )
    for failure in report.failures:
        print(failure)
    for name, count in [*sorted(report.suites.items()), *sorted(report.tally.phases.items())]:
        print(f"{count:8d} {name}")
    ended = f"{report.tally.right} with the right result, {report.tally.errors} with an error"
    print(f"{report.cases} cases in {time.monotonic() - started:.0f} s: {ended}, {len(report.failures)} failed")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
