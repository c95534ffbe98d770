# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A substitute for get-pip.py that installs packages with the pip wheel that Python itself carries.

ansible-test runs it in a new virtual environment that has no pip yet, and would download get-pip.py otherwise.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def bundled_pip() -> Path:
    """Return the wheel of pip."""
    # Debian keeps the wheels outside the standard library.
    places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(ensurepip.__file__).parent / "_bundled"]
    return next(wheel for place in places if place for wheel in Path(place).glob("pip-*.whl"))


def main() -> int:
    """Install the packages that the command line names, and return the exit status of pip."""
    packages = [argument for argument in sys.argv[1:] if not argument.startswith("--no-")]
    environment = dict(os.environ, PYTHONPATH=str(bundled_pip()))
    environment.pop("GET_PIP", None)
    return subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *packages], env=environment)


if __name__ == "__main__":
    sys.exit(main())
