# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of hosts, their variables and groups, and what the cache keeps of them."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._inventory.cache_entry import (
    fingerprint_of,
    from_cache,
    to_cache,
)
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import (
    AgentReport,
    AgentState,
    Domain,
    Result,
)
from ansible_collections.netless.qga.plugins.module_utils._inventory.host_names import name_hosts
from ansible_collections.netless.qga.plugins.module_utils._inventory.host_variables import (
    failed_group,
    host_groups,
    host_variables,
)

ANSWER = AgentReport(AgentState.REACHABLE, version="9.2.0", facts={"os": {"id": "debian"}}, domain_state="running")


def on(hypervisor: str, name: str = "web1", *, uuid: str = "", state: str = "running") -> Result:
    """Return a domain of libvirt."""
    uri = f"qemu+ssh://{hypervisor}/system"
    domain = Domain(
        name=name,
        source=uri,
        hypervisor=hypervisor,
        endpoint="libvirt",
        uri=uri,
        uuid=uuid or f"uuid on {hypervisor}",
        number=7,
        state=state,
        metadata={"app": {"role": "web"}},
    )
    return Result(domain, ANSWER if state == "running" else AgentReport(AgentState.NOT_ASKED, "it is off"))


def at(path: str, report: AgentReport = ANSWER) -> Result:
    """Return a domain with a socket."""
    return Result(Domain(name="100", source="/run/*", hypervisor="localhost", endpoint=f"unix:{path}"), report)


def test_each_domain_is_a_host() -> None:
    web, database = on("hv1", "web1"), on("hv1", "db1", uuid="other")
    named = name_hosts([("web1", web), ("db1", database)])
    assert named.hosts == {"web1": web, "db1": database}
    assert named.problems == []


def test_different_domains_with_one_name_are_left_out() -> None:
    named = name_hosts([("web1", on("hv1")), ("web1", on("hv2")), ("db1", on("hv2", "db1"))])
    assert list(named.hosts) == ["db1"]
    (problem,) = named.problems
    assert "2 domains would be the host 'web1'" in problem
    assert "web1 on qemu+ssh://hv1/system, web1 on qemu+ssh://hv2/system" in problem


def test_sockets_with_one_name_are_left_out() -> None:
    named = name_hosts([("100", at("/a/100.qga")), ("100", at("/b/100.qga"))])
    assert named.hosts == {}
    assert "unix:/a/100.qga, unix:/b/100.qga" in named.problems[0]


@pytest.mark.parametrize("states", [("paused", "running"), ("running", "paused"), ("running", "running")])
def test_domain_in_migration_is_one_host(states: tuple[str, str]) -> None:
    first, second = (on(hypervisor, uuid="same", state=state) for hypervisor, state in zip(("hv1", "hv2"), states))
    named = name_hosts([("web1", first), ("web1", second)])
    assert named.hosts == {"web1": second if states == ("paused", "running") else first}
    assert named.problems == []


@pytest.mark.parametrize("name", ["", "localhost", "LocalHost", "127.0.0.1", "::1", "all", "a\nb", " a", "x" * 254])
def test_name_that_no_host_may_have(name: str) -> None:
    named = name_hosts([(name, on("hv1")), ("db1", on("hv1", "db1", uuid="other"))])
    assert list(named.hosts) == ["db1"]
    assert "web1 on qemu+ssh://hv1/system" in named.problems[0]


def test_variables_of_a_libvirt_domain() -> None:
    assert host_variables(on("hv1")) == {
        "ansible_connection": "netless.qga.guest_agent",
        "ansible_host": "web1",
        "ansible_libvirt_uri": "qemu+ssh://hv1/system",
        "ansible_qga_endpoint": "libvirt",
        "qga_agent_message": "",
        "qga_agent_state": "reachable",
        "qga_agent_version": "9.2.0",
        "qga_domain": "web1",
        "qga_hypervisor": "hv1",
        "qga_id": 7,
        "qga_metadata": {"app": {"role": "web"}},
        "qga_os": {"id": "debian"},
        "qga_source": "qemu+ssh://hv1/system",
        "qga_state": "running",
        "qga_uuid": "uuid on hv1",
    }


def test_variables_of_a_socket() -> None:
    variables = host_variables(at("/run/100.qga"))
    assert variables["ansible_qga_endpoint"] == "unix:/run/100.qga"
    assert variables["qga_state"] == "running"
    assert "ansible_host" not in variables
    assert "ansible_libvirt_uri" not in variables


@pytest.mark.parametrize(
    ("result", "groups"),
    [
        (on("hv1"), ["qga_domains", "qga_state_running", "qga_agent_reachable", "qga_os_debian"]),
        (on("hv1", state="off"), ["qga_domains", "qga_state_off", "qga_agent_not_asked"]),
        (
            at("/s", AgentReport(AgentState.SILENT, "no answer")),
            ["qga_domains", "qga_state_unknown", "qga_agent_silent"],
        ),
    ],
)
def test_groups(result: Result, groups: list[str]) -> None:
    assert host_groups(result) == groups


@pytest.mark.parametrize(
    ("system", "group"),
    [
        ("opensuse-leap", "qga_os_opensuse_leap"),
        ("Debian\n}}{{ x", "qga_os_debian______x"),
        ("x" * 1000, f"qga_os_{'x' * 64}"),
    ],
)
def test_guest_cannot_choose_any_group(system: str, group: str) -> None:
    report = AgentReport(AgentState.REACHABLE, facts={"os": {"id": system}})
    assert host_groups(at("/s", report))[-1] == group


def test_group_of_a_machine_that_failed() -> None:
    assert failed_group("hv1.example.com") == "qga_failed_hv1_example_com"


def test_cache_keeps_everything() -> None:
    results = [on("hv1"), on("hv1", "db1", state="off"), at("/s")]
    kept = json.loads(json.dumps(to_cache(results, "fingerprint")))
    assert from_cache(kept, "fingerprint") == results


@pytest.mark.parametrize(
    "kept",
    [
        None,
        {},
        [],
        to_cache([on("hv1")], "of other options"),
        {"fingerprint": "fingerprint", "domains": [{"domain": {"later": 1}, "report": {"state": "reachable"}}]},
        {"fingerprint": "fingerprint", "domains": [{"domain": {}, "report": {"state": "later"}}]},
    ],
)
def test_cache_that_does_not_fit_is_ignored(kept: t.Any) -> None:
    assert from_cache(kept, "fingerprint") is None


def test_fingerprint_changes_with_the_options() -> None:
    options = {"uris": ["a"], "filters": [{"include": "x"}]}
    assert fingerprint_of(options) == fingerprint_of(dict(reversed(options.items())))
    assert fingerprint_of(options) != fingerprint_of({**options, "uris": ["b"]})
