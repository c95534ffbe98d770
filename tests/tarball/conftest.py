# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: the tarball, installed for a user who has no other collection, and a guest for the guide's inventory."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import build

from .user import User


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name what is tested."""
    parser.addoption("--tarball", type=pathlib.Path, required=True, help="the collection's tarball")
    parser.addoption("--environment", type=pathlib.Path, required=True, help="a Python environment with ansible-core")


@pytest.fixture(name="user", scope="session")
def fixture_user(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> User:
    """Provide a user who has installed the tarball."""
    user = User(tmp_path_factory.mktemp("user"), pytestconfig.getoption("environment"))
    tarball = str(pytestconfig.getoption("tarball").resolve())
    user.run("ansible-galaxy", "collection", "install", "--offline", tarball)
    return user


@pytest.fixture(name="endpoint", scope="session")
def fixture_endpoint() -> Iterator[str]:
    """Run a guest, and return where its agent is."""
    with SandboxedAgent(build("trixie")) as agent:
        yield agent.endpoint


@pytest.fixture(name="inventory", scope="session")
def fixture_inventory(user: User, endpoint: str) -> str:
    """Write the guide's inventory without the host that this machine does not have, and return its name."""
    lines = [line for line in user.guide_file("hosts.yml").splitlines() if "db1" not in line and "libvirt" not in line]
    text = "\n".join(lines).replace("unix:/run/vms/web1.sock", endpoint)
    assert endpoint in text
    (user.directory / "hosts.yml").write_text(text + "\n", encoding="utf-8")
    return "hosts.yml"


@pytest.fixture(scope="session", autouse=True)
def _no_library_for_libvirt(pytestconfig: pytest.Config) -> None:
    """Check that the environment has ansible-core and nothing that only this collection would need."""
    python = pytestconfig.getoption("environment") / "bin" / "python"
    probe = "import importlib.util as u; print([n for n in ('jsonschema', 'libvirt') if u.find_spec(n)])"
    found = subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True).stdout
    assert found == "[]\n"
