# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simulations of many seeds, in several processes."""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import time
import traceback
import typing as t

from .simulation import Simulation

# How many seeds a worker takes at once, and after how many seconds the progress is printed.
_BATCH = 25
_PROGRESS_INTERVAL = 60.0


class Result(t.NamedTuple):
    """What some simulations did: how many there were, their steps, and the report of each that failed."""

    seeds: int = 0
    steps: int = 0
    failures: tuple[str, ...] = ()

    def plus(self, other: Result) -> Result:
        """Return both together."""
        return Result(self.seeds + other.seeds, self.steps + other.steps, self.failures + other.failures)

    def __str__(self) -> str:
        return f"{self.seeds} simulations, {self.steps} steps, {len(self.failures)} failed"


def run(seeds: t.Sequence[int]) -> Result:
    """Run the simulations of some seeds."""
    result = Result()
    for seed in seeds:
        simulation, failures = Simulation(seed), []
        try:
            simulation.run()
        except Exception:  # pylint: disable=broad-exception-caught
            failures.append(
                f"{traceback.format_exc()}seed {seed} failed at step {len(simulation.history)}; repeat it with "
                f"--first {seed} --seeds 1"
            )
        result = result.plus(Result(1, len(simulation.history), tuple(failures)))
    return result


def run_parallel(seeds: t.Iterable[int], steps: int | None, workers: int) -> Result:
    """Run simulations in several processes.

    :param steps: after how many steps to stop; None for all seeds.
    """
    started = printed = time.monotonic()
    total, batches = Result(), _batches(seeds)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {pool.submit(run, batch) for batch in itertools.islice(batches, 2 * workers)}
        while waiting:
            done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                result = future.result()
                total = total.plus(result)
                for failure in result.failures:
                    print(failure, flush=True)
                if steps is None or total.steps < steps:
                    waiting |= {pool.submit(run, batch) for batch in itertools.islice(batches, 1)}
            if time.monotonic() > printed + _PROGRESS_INTERVAL:
                printed = time.monotonic()
                print(f"after {printed - started:.0f} s: {total}", flush=True)
    return total


def _batches(seeds: t.Iterable[int]) -> t.Iterator[list[int]]:
    iterator = iter(seeds)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
