# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""50 guests of which 10 hang: the inventory is complete in time, and what answers can be used at once."""

from __future__ import annotations

import pathlib
import socket
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentState
from ansible_collections.netless.qga.plugins.module_utils._inventory.socket_source import SocketSource
from ansible_collections.netless.qga.plugins.module_utils._inventory.survey import Survey, SurveyLimits
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent
from ansible_collections.netless.qga.tests.integration.targets.inventory.conftest import (
    ANSWERING,
    HALFWAY,
    HANGING,
    SILENT,
    STOPPED,
    Inventory,
)


def hosts(inventory: dict[str, t.Any], group: str) -> list[str]:
    return sorted(inventory.get(group, {}).get("hosts", []))


def test_guests_that_hang_delay_no_others(fleet: pathlib.Path, inventory: Inventory) -> None:
    inventory.configure(sockets=[f"{fleet}/*.qga"], agent_timeout=6, subset=["os", "hostname"])
    found = inventory.list()
    print(f"answered after {inventory.seconds:.1f} s")
    # One after the other, those that hang would take 60 seconds.
    assert inventory.seconds < 50
    assert hosts(found, "qga_domains") == sorted([*ANSWERING, *HANGING])
    assert hosts(found, "qga_agent_reachable") == ANSWERING
    assert hosts(found, "qga_os_debian") == ANSWERING
    assert hosts(found, "qga_state_running") == ANSWERING
    assert hosts(found, "qga_agent_silent") == sorted([*SILENT, *HALFWAY])
    # Nobody accepts the connection, as when another client holds the socket.
    assert hosts(found, "qga_agent_busy") == STOPPED
    variables = found["_meta"]["hostvars"]["guest00"]
    assert variables["ansible_connection"] == "netless.qga.guest_agent"
    assert variables["ansible_qga_endpoint"] == f"unix:{fleet}/guest00.qga"
    assert variables["qga_hostname"]
    assert "[WARNING]" not in inventory.warnings


def test_the_time_for_everything_is_limited(fleet: pathlib.Path, inventory: Inventory) -> None:
    inventory.configure(sockets=[f"{fleet}/*.qga"], timeout=8, agent_timeout=600)
    graph = inventory.run("inventory", "--graph")
    assert inventory.seconds < 60
    lines = [line.strip(" |-") for line in graph.splitlines()]
    assert lines.count("guest00") == lines.count("guest39") == 4
    assert "@qga_agent_silent:" in lines


def test_survey_ends_with_its_deadline(fleet: pathlib.Path) -> None:
    source = SocketSource(f"{fleet}/*.qga", name_pattern=r"(?P<name>[^/]+)\.qga$")
    limits = SurveyLimits(seconds=5, listing_seconds=5, agent_seconds=600, max_parallel=100)
    started = time.monotonic()
    found = Survey([source], limits, subsets=["os", "hostname", "interfaces"]).run()
    seconds = time.monotonic() - started
    print(f"answered after {seconds:.3f} s, with a deadline of {limits.seconds} s")
    # A busy machine may need a few seconds more. Without the deadline, it would be ten minutes.
    assert limits.seconds <= seconds < 60
    states = {result.domain.name: result.report.state for result in found.results}
    assert {name for name, state in states.items() if state is AgentState.REACHABLE} == set(ANSWERING)


def test_hosts_work_at_once(fleet: pathlib.Path, inventory: Inventory) -> None:
    inventory.configure(
        sockets=[f"{fleet}/*.qga"],
        agent_timeout=2,
        filters=[{"include": "qga_domain is match('guest0|silent')"}, {"exclude": "true"}],
    )
    output = inventory.run("adhoc", "qga_agent_reachable", "-m", "ansible.builtin.ping", "-f", "10")
    assert output.count('"ping": "pong"') == 10
    output = inventory.run("adhoc", "guest00", "-m", "ansible.builtin.raw", "-a", "cat /etc/hostname /proc/1/comm")
    assert "rc=0" in output


def test_agents_are_not_asked_for_nothing(fleet: pathlib.Path, inventory: Inventory) -> None:
    inventory.configure(sockets=[f"{fleet}/*.qga"], ask_agents=False)
    assert hosts(inventory.list(), "qga_agent_not_asked") == sorted([*ANSWERING, *HANGING])


def test_nothing_is_taken_from_another_client(
    inventory: Inventory, fleet: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = (fleet / "guest00.qga").resolve()
    inventory.configure(sockets=[f"{fleet}/guest0[01].qga"], agent_timeout=1)
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(60)
        other.connect(str(path))
        other.sendall(b'{"execute": "guest-ping"}\n')
        assert other.recv(4096)
        found = inventory.list()
        assert (hosts(found, "qga_agent_busy"), hosts(found, "qga_agent_reachable")) == (["guest00"], ["guest01"])
        message = found["_meta"]["hostvars"]["guest00"]["qga_agent_message"]["__ansible_unsafe"]
        assert "another client holds the socket" in message
        other.sendall(b'{"execute": "guest-ping"}\n')
        assert b"return" in other.recv(4096)
    assert hosts(inventory.list(), "qga_agent_reachable") == ["guest00", "guest01"]


def test_cache(fleet: pathlib.Path, inventory: Inventory, tmp_path: pathlib.Path) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "debian", "name": "{{ 7 * 7 }}"}
    with agent.listening(str(fleet / "scripted.qga")):
        inventory.configure(
            sockets=[f"{fleet}/scripted.qga", f"{fleet}/guest00.qga"],
            keyed_groups=[{"key": "qga_os.id", "prefix": "id"}],
            cache=True,
            cache_plugin="ansible.builtin.jsonfile",
            cache_connection=str(tmp_path / "cache"),
        )
        first = inventory.list()
        assert hosts(first, "id_debian") == ["guest00", "scripted"]
        asked = len(agent.requests)
        assert asked > 0
        assert inventory.list() == first
        assert len(agent.requests) == asked
        inventory.list("--flush-cache")
        assert len(agent.requests) == 2 * asked


def test_guest_cannot_inject_templates(inventory: Inventory, fleet: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Neither directly nor through a file that ansible-inventory has written, which is how AWX uses inventories."""
    trace = tmp_path / "trace"
    name = "{{ lookup('ansible.builtin.pipe', 'touch " + str(trace) + "') }}"
    agent = ScriptedAgent()
    agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "debian", "name": name}
    show = ("all", "-c", "local", "-m", "ansible.builtin.debug", "-a", "msg=<{{ qga_os.name }}><{{ composed }}>")
    script = tmp_path / "exported"
    with agent.listening(str(fleet / "hostile.qga")):
        inventory.configure(sockets=[f"{fleet}/hostile.qga"], compose={"composed": "qga_os.name"})
        assert inventory.run("adhoc", *show).count("lookup(") == 2
        exported = inventory.run("inventory", "--list", "--export")
    script.write_text(f"#!/bin/sh\ncat <<'JSON'\n{exported}\nJSON\n", encoding="utf-8")
    script.chmod(0o700)
    assert inventory.run("adhoc", *show, inventory=script).count("lookup(") == 2
    assert not trace.exists()


def test_hypervisor_that_hangs(fleet: pathlib.Path, inventory: Inventory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The kernel accepts the connection, and nobody ever answers on it.
        port = listener.getsockname()[1]
        uri = f"qemu+tcp://127.0.0.1:{port}/system"
        inventory.configure(
            uris=[uri, "qemu+unix:///system?socket=/nowhere"], sockets=[f"{fleet}/guest0?.qga"], hypervisor_timeout=2
        )
        graph = inventory.run("inventory", "--graph", "--vars")
        assert inventory.seconds < 60
        check = '{"that": "groups.qga_failed_sources is defined"}'
        inventory.run("adhoc", "localhost", "-c", "local", "-m", "ansible.builtin.assert", "-a", check)
    assert "@qga_failed_127_0_0_1:" in graph and "@qga_failed_localhost:" in graph
    assert graph.count("--guest0") == 10 * 4
    assert f"hypervisor {uri}: no answer from libvirt in time" in " ".join(inventory.warnings.split())
    assert "/nowhere" in inventory.warnings


def test_agent_that_answers_nonsense(fleet: pathlib.Path, inventory: Inventory) -> None:
    with ScriptedAgent("garbage").listening(str(fleet / "liar.qga")):
        inventory.configure(sockets=[f"{fleet}/liar.qga", f"{fleet}/guest0?.qga"])
        found = inventory.list("--limit", "liar:guest00")
    assert hosts(found, "qga_agent_invalid") == ["liar"]
    assert hosts(found, "qga_agent_reachable") == ["guest00"]
