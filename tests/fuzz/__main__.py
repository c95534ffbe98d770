# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fuzz: ``python3 -m tests.fuzz --seconds 3600``, or ``python3 -m tests.fuzz session --seconds 60`` for one target.

What is found is kept in ``tests/output/fuzz``, and a later run continues from there. Each target runs in a process of
its own, because libFuzzer ends the process at its end.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .targets import CORPUS, TARGETS

_PACKAGE = __package__ or ""
_INPUT_TIMEOUT = 10
"""Seconds that one input may take."""
_MAX_MEMORY = 1024
"""MiB that a target may take."""
_MAX_INPUT = 4096
"""Bytes of an input."""


def main() -> int:
    """Fuzz the targets one after the other, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description="Give inputs that reach new code to what reads foreign bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--seconds", type=int, default=60, help="for all of them together")
    parser.add_argument("--output", type=Path, default=Path("tests/output/fuzz"), help="a directory for what is found")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    unknown = set(names) - set(TARGETS)
    if unknown:
        parser.error(f"no target: {', '.join(sorted(unknown))}")
    failed = [name for name in names if not fuzz(name, max(1, options.seconds // len(names)), options.output)]
    for name in failed:
        print(f"{name} failed: see {options.output / name}.log; its input is in {options.output / name}.failed")
    return 1 if failed else 0


def fuzz(name: str, seconds: int, output: Path) -> bool:
    """Fuzz one target, print one line about it, and return whether it held."""
    found, failed = output / name, output / f"{name}.failed"
    for directory in (found, failed):
        directory.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", f"{_PACKAGE}.instrumented", name),
        f"-max_total_time={seconds}",
        f"-timeout={_INPUT_TIMEOUT}",
        f"-rss_limit_mb={_MAX_MEMORY}",
        f"-max_len={_MAX_INPUT}",
        f"-artifact_prefix={failed}/",
        f"-dict={_write_dictionary(name, output)}",
        "-print_final_stats=1",
        *map(str, (found, CORPUS / name)),
    ]
    with tempfile.TemporaryDirectory() as runtime, open(output / f"{name}.log", "wb") as log:
        environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        ended = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    text = (output / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    edges = re.findall(r"cov: (\d+)", text)
    print(
        f"{name}: {executed[1] if executed else 'unknown'} executions in {seconds} s, "
        f"{edges[-1] if edges else 'unknown'} edges, {len(list(found.iterdir()))} inputs kept",
        flush=True,
    )
    return ended.returncode == 0


def _write_dictionary(name: str, output: Path) -> Path:
    """Write the words of a target's seeds into a file for libFuzzer, which puts them together, and return its path."""
    seeds = b"\n".join(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))
    words = sorted(set(re.findall(rb"[A-Za-z][-A-Za-z_0-9]{2,30}", seeds)))
    dictionary = output / f"{name}.dict"
    dictionary.write_text("".join(f'"{word.decode("ascii")}"\n' for word in words), encoding="ascii")
    return dictionary


if __name__ == "__main__":
    sys.exit(main())
