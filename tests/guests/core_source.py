# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source distribution of the installed ansible-core, which has its tests. As a program, it prints the directory."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

from ansible.release import __version__


def core_source() -> pathlib.Path:
    """Return the directory with the source of the installed ansible-core, and download it if needed.

    It is kept in ``${XDG_CACHE_HOME:-~/.cache}/netless-qga/ansible-core``. Other processes may call this at the same
    time.

    :raises subprocess.CalledProcessError: pip cannot download it.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = pathlib.Path(base, "netless-qga", "ansible-core")
    source = cache / f"ansible_core-{__version__}"
    if source.is_dir():
        return source
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", directory, f"ansible-core=={__version__}"], check=True, stdout=sys.stderr)
        with tarfile.open(pathlib.Path(directory, f"{source.name}.tar.gz")) as archive:
            archive.extractall(directory, filter="data")
        # It fails if another process was faster.
        with contextlib.suppress(OSError):
            pathlib.Path(directory, source.name).rename(source)
    return source


if __name__ == "__main__":
    print(core_source())
