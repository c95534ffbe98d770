# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Use agents for long: ``python3 -m tests.soak --calls 1000000 --programs 25000``. Needs root."""

from __future__ import annotations

import argparse
import math
import sys
import time

from ansible_collections.netless.qga.tests.guests import trees
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

from .soak import Soak
from .usage import growth


def main() -> int:
    """Use the agent of each suite, and return 1 if what one of the sides uses has grown."""
    parser = argparse.ArgumentParser(description="Use real agents for long, and watch what both sides use.")
    parser.add_argument("--calls", type=int, default=100_000, help="how many commands to call on each agent")
    parser.add_argument("--programs", type=int, default=1000, help="how many programs to run with each agent")
    parser.add_argument("--minutes", type=float, default=math.inf, help="when to stop early, for each suite")
    parser.add_argument("--suite", action="append", choices=trees.SUITES, help="the Debian suites of the agents")
    options = parser.parse_args()
    failed = False
    for suite in options.suite or trees.SUITES:
        end = time.monotonic() + options.minutes * 60
        with SandboxedAgent(trees.build(suite)) as guest, Soak(guest, end) as soak:
            for name, count, use in (
                ("calls", options.calls, soak.call),
                ("programs", options.programs, soak.run_programs),
            ):
                if not count:
                    continue
                rate = use(count)
                print(f"{time.strftime('%F %T')} {suite}: {soak.done} {name}, {rate:.0f} a second", flush=True)
                for side, samples in (("controller", soak.controller), ("guest", soak.agent)):
                    grown = growth(samples)
                    failed = failed or bool(grown)
                    result = f"GREW: {', '.join(grown)}" if grown else "flat"
                    print(f"  {side}: {samples[0]} | {samples[-1]} | {result}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
