# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutation testing of the framing: ``python3 -m tests.mutation``, or with names of its files to mutate only those.

mutmut changes one expression at a time, and runs the tests that reach it. A change that no test notices has to be in
:mod:`.explained`; any other one is a gap in the tests. Tests that draw their inputs are left out, so that the result is
the same each time. mutmut changes functions only: constants and the tables of states stay as they are.
"""

from __future__ import annotations

import argparse
import collections
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData  # pylint: disable=import-error
from mutmut.mutation.diff_apply import get_diff_for_mutant  # pylint: disable=import-error
from mutmut.stats import status_by_exit_code  # pylint: disable=import-error

from .explained import EXPLAINED

COLLECTION = Path(__file__).resolve().parents[2]
_INSIDE = Path("ansible_collections/netless/qga")
_FRAMING = _INSIDE / "plugins/module_utils/framing"
_TESTS = _INSIDE / "tests/unit/plugins/module_utils/framing"
_NEEDED = ("plugins", "tests/guests", "tests/unit")
_CONFIGURATION = f"""\
[mutmut]
source_paths={_FRAMING}
also_copy=ansible_collections
track_dependencies=false
use_git_change_detection=false
timeout_multiplier=5
pytest_add_cli_args=
    -p
    no:cacheprovider
    -m
    not hypothesis
pytest_add_cli_args_test_selection={_TESTS}
"""
_KILLED = {"killed", "timeout", "segfault"}


def main() -> int:
    """Mutate, and return 1 if a mutant survived that is not explained, or an explanation is not needed any more."""
    parser = argparse.ArgumentParser(description="Change the framing in small ways that its tests have to notice.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="names of files, like sync.py; by default all")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("tests/output/mutation"),
        help="a directory for the copy; its old contents are removed",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many mutants to test at a time")
    options = parser.parse_args()
    names = options.files or sorted(path.name for path in (COLLECTION / "plugins/module_utils/framing").glob("*.py"))
    _copy_collection(options.output, names)
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(options.processes)]
    # Otherwise the tests would import the modules that are not mutated.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=options.output, env=environment, check=True)
    os.chdir(options.output)
    return _report(names)


def _copy_collection(tree: Path, names: list[str]) -> None:
    """Copy what the tests need into a directory of its own, where mutmut makes its files, and configure it.

    :param names: the files to mutate.
    """
    shutil.rmtree(tree, ignore_errors=True)
    for part in _NEEDED:
        shutil.copytree(COLLECTION / part, tree / _INSIDE / part, ignore=shutil.ignore_patterns("__pycache__"))
    only = "".join(f"    {_FRAMING / name}\n" for name in names)
    (tree / "setup.cfg").write_text(f"{_CONFIGURATION}only_mutate=\n{only}", encoding="ascii")


def _report(names: list[str]) -> int:
    """Print how many mutants there are, and those that survived and are not explained."""
    counts: collections.Counter[str] = collections.Counter()
    described: collections.Counter[str] = collections.Counter()
    survivors: dict[str, str] = {}
    for name in names:
        data = SourceFileMutationData(path=_FRAMING / name)
        data.load()
        for mutant, exit_code in data.exit_code_by_key.items():
            status = status_by_exit_code[exit_code]
            counts["killed" if status in _KILLED else status] += 1
            diff = get_diff_for_mutant(mutant, path=_FRAMING / name)
            description = _describe(name, mutant, diff)
            described[description] += 1
            if status not in _KILLED:
                survivors[f"{description} ({described[description]})"] = diff
    unexplained = sorted(survivors.keys() - EXPLAINED.keys())
    for description in unexplained:
        print(f"survived: {description}\n{survivors[description]}\n")
    gone = sorted(text for text in EXPLAINED.keys() - survivors.keys() if text.partition(":")[0] in names)
    for description in gone:
        print(f"explained, but does not survive: {description}")
    total = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"{sum(counts.values())} mutants: {total}; {len(survivors) - len(unexplained)} of those left are explained")
    return 1 if unexplained or gone else 0


def _describe(file: str, mutant: str, diff: str) -> str:
    """Return what identifies a mutant as long as its own line stays the same, apart from a number for equal ones."""
    function = (
        mutant.rpartition(".")[2].partition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    )
    changes = [line for line in diff.split("\n") if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in changes if line.startswith(sign)) for sign in "-+")
    return f"{file}: {function}: {before} -> {after}"


if __name__ == "__main__":
    sys.exit(main())
