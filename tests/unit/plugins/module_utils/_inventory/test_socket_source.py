# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets in directories as a source of domains."""

from __future__ import annotations

import pathlib
import socket

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentState
from ansible_collections.netless.qga.plugins.module_utils._inventory.socket_source import SocketSource
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, InvalidRequest
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

FILE_NAME = r"(?P<name>[^/]+?)(\.[^./]*)?$"


@pytest.fixture(name="directory")
def fixture_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    # The path of a socket has to be short.
    monkeypatch.chdir(tmp_path)
    for path in ("100.qga", "100.vnc", "web1.example.com.qga", "db1/qga.sock"):
        pathlib.Path(path).parent.mkdir(exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
    (tmp_path / "file.qga").touch()
    (tmp_path / "broken.qga").symlink_to("nowhere")
    return tmp_path


def find(pattern: str, name_pattern: str = FILE_NAME) -> dict[str, str]:
    """Return the endpoint of each domain by its name."""
    domains = SocketSource(pattern, name_pattern=name_pattern).list_domains(Deadline.after(20))
    return {domain.name: domain.endpoint for domain in domains}


def test_names_from_the_names_of_files(directory: pathlib.Path) -> None:
    assert find(f"{directory}/*.qga") == {
        "100": f"unix:{directory}/100.qga",
        "web1.example.com": f"unix:{directory}/web1.example.com.qga",
    }


def test_names_from_directories(directory: pathlib.Path) -> None:
    assert find(f"{directory}/*/qga.sock", r"/(?P<name>[^/]+)/qga\.sock$") == {"db1": f"unix:{directory}/db1/qga.sock"}


def test_any_number_of_directories(directory: pathlib.Path) -> None:
    assert set(find(f"{directory}/**/*.*")) == {"100", "web1.example.com", "qga"}


def test_sockets_without_a_match_are_left_out(directory: pathlib.Path) -> None:
    assert set(find(f"{directory}/*.qga", r"/(?P<name>\d+)\.qga$")) == {"100"}


def test_pattern_that_matches_nothing(directory: pathlib.Path) -> None:
    assert find(f"{directory}/*.none") == {}


def test_directory_that_does_not_exist(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EndpointUnavailable, match=f"cannot list {tmp_path}/none: No such file or directory"):
        find(f"{tmp_path}/none/*/qga.sock")


def test_relative_pattern() -> None:
    with pytest.raises(EndpointUnavailable, match="absolute path"):
        find("*.qga")


@pytest.mark.parametrize("name_pattern", ["(", "^(.*)$"])
def test_name_pattern_that_is_not_valid(name_pattern: str) -> None:
    with pytest.raises(InvalidRequest, match="socket_name"):
        SocketSource("/run/*.qga", name_pattern=name_pattern)


def test_agent_of_a_socket_is_asked() -> None:
    with ScriptedAgent().listening() as path:
        source = SocketSource(path, name_pattern=FILE_NAME)
        (domain,) = source.list_domains(Deadline.after(20))
        report = source.ask(domain, (), Deadline.after(20))
        source.close()
    assert (domain.name, domain.state) == ("agent", "unknown")
    assert (report.state, report.version) == (AgentState.REACHABLE, "9.2.0")
