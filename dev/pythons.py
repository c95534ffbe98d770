# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the Pythons of this machine, as real executables, because ansible-test fails with shims of version managers.

As a program, it prints the one to make the virtual environment with: the newest that a tested ansible-core supports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TARGETS = ("3.14", "3.13", "3.12", "3.11", "3.10", "3.9")
CONTROLLERS = {"2.19": ("3.13", "3.12", "3.11"), "2.21": ("3.14", "3.13", "3.12")}


def directories_on_path() -> list[Path]:
    """Return the directories of PATH, without those of shims."""
    entries = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    return [entry for entry in entries if entry.name != "shims"]


def can_make_environments(python: Path) -> bool:
    """Return whether a Python runs, is in no virtual environment, and has the parts that Debian packages separately."""
    probe = "import ensurepip, sys, venv; sys.exit(sys.prefix != sys.base_prefix)"
    try:
        return subprocess.run([python, "-c", probe], capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_pythons() -> dict[str, Path]:
    """Return the executable of each version of :data:`TARGETS` that this machine has, newest first."""
    pyenv_root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    places = [*directories_on_path(), *sorted(pyenv_root.glob("versions/*/bin"), reverse=True)]
    pythons: dict[str, Path] = {}
    for version in TARGETS:
        candidates = (place / f"python{version}" for place in places)
        python = next(filter(can_make_environments, candidates), None)
        if python:
            pythons[version] = python.resolve()
    return pythons


def path_for(pythons: dict[str, Path]) -> str:
    """Return a ``PATH`` without shims on which every ``pythonX.Y`` is the one in ``pythons``."""
    entries = [python.parent for python in pythons.values()] + directories_on_path()
    return os.pathsep.join(dict.fromkeys(map(str, entries)))


def main() -> int:
    """Print the Python for the virtual environment, and return the exit status."""
    controllers = {version for versions in CONTROLLERS.values() for version in versions}
    python = next((python for version, python in find_pythons().items() if version in controllers), None)
    if not python:
        print("This machine has no Python 3.11 or newer with venv and ensurepip.", file=sys.stderr)
        return 1
    print(python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
