# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: the collection as users install it, and a directory that the users of jobs can read."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from ansible_collections.netless.qga.tests.guests import connection_processes

from .paths import COLLECTION


@pytest.fixture(name="public", scope="session")
def fixture_public() -> Iterator[pathlib.Path]:
    """Provide a directory that other users may enter, with a path that is short enough for sockets."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="qga-awx-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    # The last ones end some seconds after the last job.
    connection_processes.wait_until(lambda: not connection_processes.pids(directory), 30)
    shutil.rmtree(directory)


@pytest.fixture(name="collections", scope="session")
def fixture_collections(public: pathlib.Path) -> pathlib.Path:
    """Build and install the collection's artifact, and return the directory for ``ANSIBLE_COLLECTIONS_PATH``."""
    galaxy = [sys.executable, "-m", "ansible", "galaxy", "collection"]
    built = public / "built"
    # Galaxy installs no collection that the interpreter's path has already.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*galaxy, "build", "--output-path", str(built), str(COLLECTION)], check=True, timeout=60)
    (artifact,) = built.glob("*.tar.gz")
    collections = public / "collections"
    install = [*galaxy, "install", "--offline", "--no-deps", "-p", str(collections), str(artifact)]
    subprocess.run(install, check=True, timeout=60, env=environment)
    return collections
