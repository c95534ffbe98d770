# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The project's playbooks with ansible-runner, on real guest agents. Needs root, to make guests and change the user."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping

import pytest

from ansible_collections.netless.qga.tests.guests import sandbox, trees

from .jobs import Job, Node

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SUITES = {"web1": "bookworm", "web2": "trixie", "db1": "trixie", "db2": "bookworm"}
GROUPS = {"web": 4711, "db": 4712}
"""The groups of guests, each on a node of its own, and the user of jobs there."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhhcmRseSBhbnkga2V5IGlzIGFzIHB1YmxpYyBhcyB0aGlz alice@awx"

Endpoints = Mapping[str, Mapping[str, str]]


@pytest.fixture(name="nodes", scope="module")
def fixture_nodes(public: pathlib.Path) -> dict[str, Node]:
    """Provide a node for each group of guests."""
    return {group: Node(public / group, uid) for group, uid in GROUPS.items()}


@pytest.fixture(name="endpoints", scope="module")
def fixture_endpoints(nodes: Mapping[str, Node]) -> Iterator[Endpoints]:
    """Run the guests, whose agents only the user of their own node can reach."""
    endpoints: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    with contextlib.ExitStack() as stack:
        for name, suite in SUITES.items():
            group = name.rstrip("0123456789")
            agent = stack.enter_context(sandbox.SandboxedAgent(trees.build(suite)))
            nodes[group].admit(agent.socket_path)
            endpoints[group][name] = agent.endpoint
        yield endpoints


def test_ping(public: pathlib.Path, collections: pathlib.Path, endpoints: Endpoints, nodes: Mapping[str, Node]) -> None:
    job = Job(public / "ping", collections, endpoints, "ping", {"qga_hosts": "web", "qga_wait_timeout": "0"})
    job.run(nodes["web"])
    assert job.result.status == "successful", job.output
    assert set(job.result.results("Resync with the agent")) == {"web1", "web2"}
    # A worker on a terminal that nobody reads shows colours all the same.
    assert "\x1b[" in job.result.output


def test_guests_of_another_node_are_unreachable(
    public: pathlib.Path, collections: pathlib.Path, endpoints: Endpoints, nodes: Mapping[str, Node]
) -> None:
    job = Job(public / "other", collections, endpoints, "ping", {"qga_hosts": "web:db", "qga_wait_timeout": "0"})
    job.run(nodes["web"])
    results = job.result.results("Resync with the agent")
    assert {host for host, result in results.items() if "agent_version" in result} == {"web1", "web2"}
    assert all("ermission denied" in results[host]["msg"] for host in ("db1", "db2")), job.output


@pytest.mark.parametrize(
    ("playbook", "answers", "task"),
    [
        (
            "bootstrap_ssh",
            {"qga_user": "alice", "qga_keys": f"{KEY}\n", "qga_exclusive": "false", "qga_sshd": "false"},
            "Add the public keys in the guest",
        ),
        (
            "shutdown",
            {
                "qga_mode": "reboot",
                "qga_wait": "false",
                "qga_wait_timeout": "300",
                "qga_fallback": "none",
                "qga_assume_off": "false",
                "qga_serial": "1",
            },
            "Shut the guest down, and verify that it happens",
        ),
    ],
)
def test_answers_of_a_survey_reach_the_agent(
    public: pathlib.Path,
    collections: pathlib.Path,
    endpoints: Endpoints,
    nodes: Mapping[str, Node],
    playbook: str,
    answers: Mapping[str, object],
    task: str,
) -> None:
    job = Job(public / playbook, collections, endpoints, playbook, {"qga_hosts": "web1", **answers}, "--check")
    job.run(nodes["web"])
    # The agents of these guests refuse to shut the machine down and to change keys. No answer was refused before.
    assert job.result.status == "failed", job.output
    assert job.result.results(task)["web1"]["error"] == "command_disabled", job.output


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", ""),
        ("tags", "--tags=none"),
        ("start", "--start-at-task='Shut the guest down, and verify that it happens'"),
    ],
)
def test_shutdown_without_hosts_reaches_no_guest(
    public: pathlib.Path,
    collections: pathlib.Path,
    endpoints: Endpoints,
    nodes: Mapping[str, Node],
    name: str,
    options: str,
) -> None:
    answers = {"qga_hosts": "", "qga_wait": "false"}
    job = Job(public / f"no-hosts-{name}", collections, endpoints, "shutdown", answers, options)
    job.run(nodes["web"])
    assert job.result.status == "failed", job.output
    assert job.result.hosts == {"localhost"}, job.output


def test_snapshot_runs_on_the_hypervisor(
    public: pathlib.Path, collections: pathlib.Path, endpoints: Endpoints, nodes: Mapping[str, Node]
) -> None:
    answers = {
        "qga_hosts": "web1",
        "qga_hypervisor": "hypervisor",
        "qga_libvirt_uri": "",
        "qga_snapshot_name": "",
        "qga_snapshot_options": "",
        "qga_mountpoints": "",
        "qga_max_frozen": "60.0",
        "qga_require_consistent": "true",
    }
    job = Job(public / "snapshot", collections, endpoints, "quiesced_snapshot", answers, "--check")
    job.run(nodes["web"])
    assert job.result.status == "successful", job.output
    assert "[web1 -> hypervisor]" in job.result.output
    assert job.result.results("Freeze, take the snapshot, and thaw")["web1"]["changed"]


def test_two_workers_of_a_mesh_serve_two_sets_of_guests(
    public: pathlib.Path, collections: pathlib.Path, endpoints: Endpoints, nodes: Mapping[str, Node]
) -> None:
    answers = {"qga_subset": ["os", "hostname"], "qga_minimum_version": "5.0"}
    jobs = {
        group: Job(public / f"mesh-{group}", collections, endpoints, "guest_info", {"qga_hosts": group, **answers})
        for group in GROUPS
    }
    on_their_way = {group: job.send(nodes[group]) for group, job in jobs.items()}
    output = {group: mesh.wait() for group, mesh in on_their_way.items()}
    for group, job in jobs.items():
        assert job.result.status == "successful", output[group]
        facts = job.result.results("Ask the agent")
        expected = {name: suite for name, suite in SUITES.items() if name in endpoints[group]}
        found = {name: result["ansible_facts"]["qga"]["os"]["pretty_name"] for name, result in facts.items()}
        assert set(found) == set(expected)
        assert all(f"({suite})" in found[name] for name, suite in expected.items()), found
