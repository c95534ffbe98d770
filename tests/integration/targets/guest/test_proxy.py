# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays whose guests reach some destinations through the proxy on the controller, and no others."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import typing as t
import urllib.parse
import zipfile

import pytest

from ansible_collections.netless.qga.dev.get_pip import bundled_pip
from ansible_collections.netless.qga.tests.guests import package_repository
from ansible_collections.netless.qga.tests.guests.play_controller import Controller, Task
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import SUITES, build

# The proxy's own destination would otherwise be one that programs reach without a proxy.
BY_PROXY = {"no_proxy": ""}


class Repository(t.NamedTuple):
    """A repository of packages on the controller.

    :param directory: has its key.
    :param destination: its address and port.
    """

    directory: pathlib.Path
    destination: str


@pytest.fixture(name="repository", scope="module")
def fixture_repository(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Repository]:
    directory = tmp_path_factory.mktemp("repository")
    command = [sys.executable, package_repository.__file__, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = urllib.parse.urlsplit(process.stdout.readline().strip())
        yield Repository(directory, url.netloc)
        process.kill()


def publish_wheel(directory: pathlib.Path) -> None:
    """Write a Python package, and the index that pip reads, as a web server serves them."""
    directory.mkdir(parents=True)
    metadata = {
        "netless_wheel.py": "print('installed')\n",
        "netless_wheel-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: netless-wheel\nVersion: 1.0\n",
        "netless_wheel-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "netless_wheel-1.0.dist-info/RECORD": "",
    }
    name = "netless_wheel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(directory / name, "w") as wheel:
        for member, text in metadata.items():
            wheel.writestr(member, text)
    (directory / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>', encoding="ascii")


@pytest.fixture(name="controller", params=(SUITES[0], SUITES[-1]))
def fixture_controller(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Controller]:
    """Provide a controller of a guest of the oldest and of the newest suite."""
    with SandboxedAgent(build(request.param)) as sandbox:
        yield Controller(tmp_path, sandbox.endpoint)


def check(*conditions: str) -> Task:
    return {"ansible.builtin.assert": {"that": list(conditions)}}


def test_packages_are_installed_through_the_proxy(controller: Controller, repository: Repository) -> None:
    install = "apt-get update && apt-get --assume-yes install netless-tool"
    output = controller.run(
        {
            "ansible.builtin.copy": {
                "src": str(repository.directory / "key.gpg"),
                "dest": "/etc/apt/trusted.gpg.d/netless.gpg",
            }
        },
        {
            "ansible.builtin.copy": {
                "content": f"deb http://{repository.destination} test main\n",
                "dest": "/etc/apt/sources.list",
            }
        },
        {"ansible.builtin.shell": install, "environment": BY_PROXY, "register": "installed"},
        check("'netless-tool' in installed.stdout"),
        {"ansible.builtin.raw": "cat /usr/share/netless-tool/version", "register": "version"},
        check("version.stdout == '1.0\n'"),
        verbosity=3,
        ansible_qga_proxy_allow=[repository.destination],
    )
    assert f"FORWARD 127.0.0.1:3128 to {repository.destination}: " in output


@pytest.mark.parametrize("controller", [SUITES[-1]], indirect=True)
def test_pip_installs_through_the_proxy(controller: Controller, repository: Repository) -> None:
    publish_wheel(repository.directory / "repository/simple/netless-wheel")
    install = f"/usr/bin/python3 /root/pip.whl/pip install --target /root/site --index-url http://{repository.destination}/simple"
    controller.run(
        {"ansible.builtin.copy": {"src": str(bundled_pip()), "dest": "/root/pip.whl"}},
        {"ansible.builtin.command": f"{install} netless-wheel", "environment": BY_PROXY},
        {"ansible.builtin.raw": "PYTHONPATH=/root/site /usr/bin/python3 -m netless_wheel", "register": "printed"},
        check("printed.stdout == 'installed\\n'"),
        ansible_qga_proxy_allow=[repository.destination],
    )


@pytest.mark.parametrize("controller", [SUITES[-1]], indirect=True)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_every_user_gets_the_proxy_and_its_refusals(controller: Controller, repository: Repository, warm: bool) -> None:
    ask: dict[str, t.Any] = {"status_code": 403, "return_content": True}
    controller.run(
        {"ansible.builtin.uri": {"url": "http://other.example.com/", **ask}, "register": "refused"},
        check("'other.example.com:80 is not in the connection\\'s option proxy_allow' in refused.content"),
        {
            "ansible.builtin.uri": {"url": "http://localhost:9/", "timeout": 5},
            "register": "direct",
            "failed_when": False,
        },
        check("direct.status == -1", "'refused' in direct.msg"),
        {"ansible.builtin.command": "env", "become": True, "become_user": "nobody", "register": "variables"},
        check(
            "'http_proxy=http://127.0.0.1:3129' in variables.stdout_lines",
            "'https_proxy=http://127.0.0.1:3129' in variables.stdout_lines",
        ),
        {"ansible.builtin.command": "env", "environment": {"HTTP_PROXY": "http://own:1"}, "register": "own"},
        check("'HTTP_PROXY=http://own:1' in own.stdout_lines", "'http_proxy=' not in own.stdout"),
        {"ansible.builtin.command": "env", "vars": {"ansible_qga_proxy_allow": []}, "register": "without"},
        check("'proxy' not in without.stdout"),
        ansible_qga_proxy_allow=[repository.destination],
        ansible_qga_proxy_port=3129,
        ansible_qga_warm=warm,
    )
