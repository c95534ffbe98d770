# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run simulations: ``python3 -m tests.simulation --seeds 1000``, or ``--first 42 --seeds 1`` to repeat one."""

from __future__ import annotations

import argparse
import os
import sys
import time

from .seeds import run_parallel


def main() -> int:
    """Run the simulations, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        description="Run the client against a model guest, from seeds. A step is one send, receive or call of libvirt."
    )
    parser.add_argument(
        "--seeds", type=int, help="how many simulations to run; by default 1000, or as many as it takes"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, help="start no more simulations after this many steps")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many processes to use")
    options = parser.parse_args()
    count = options.seeds or (1000 if options.steps is None else sys.maxsize - options.first)
    started = time.monotonic()
    total = run_parallel(range(options.first, options.first + count), options.steps, options.workers)
    print(f"{total}, in {time.monotonic() - started:.0f} s, from the seed {options.first} on")
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
