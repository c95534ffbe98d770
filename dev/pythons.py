# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Pythons this machine has, as real executables: ansible-test trips over the shims of version managers.

Run as a program, prints the one to make the virtual environment with: the newest that a tested ansible-core runs on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TARGETS = ("3.14", "3.13", "3.12", "3.11", "3.10", "3.9")
CONTROLLERS = {"2.19": ("3.13", "3.12", "3.11"), "2.21": ("3.14", "3.13", "3.12")}


def directories_on_path() -> list[Path]:
    entries = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    return [entry for entry in entries if entry.name != "shims"]


def can_make_environments(python: Path) -> bool:
    """Whether it runs, is not itself of a virtual environment, and has the parts that Debian packages apart."""
    probe = "import ensurepip, sys, venv; sys.exit(sys.prefix != sys.base_prefix)"
    try:
        return subprocess.run([python, "-c", probe], capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_pythons() -> dict[str, Path]:
    """The real executable of each of :data:`TARGETS` that is here, newest first."""
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
    """A ``PATH`` on which every ``pythonX.Y`` is the one of `pythons`, and no shim is left."""
    entries = [python.parent for python in pythons.values()] + directories_on_path()
    return os.pathsep.join(dict.fromkeys(map(str, entries)))


def main() -> int:
    controllers = {version for versions in CONTROLLERS.values() for version in versions}
    python = next((python for version, python in find_pythons().items() if version in controllers), None)
    if not python:
        print("There is no Python 3.11 or newer with venv and ensurepip.", file=sys.stderr)
        return 1
    print(python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
