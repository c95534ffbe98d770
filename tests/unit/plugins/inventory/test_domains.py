# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin, with scripted agents on sockets and a hypervisor in place of libvirt."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import is_trusted_as_template
from ansible.utils.display import Display

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from ..module_utils._libvirt.hypervisor import OFF, Failure, Hypervisor

Read = t.Callable[..., InventoryData]


@pytest.fixture(name="sockets")
def fixture_sockets(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Return the directory of the agents' sockets."""
    directory = tmp_path / "s"
    directory.mkdir()
    # The path of a socket has to be short.
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture(name="serve")
def fixture_serve(sockets: pathlib.Path) -> t.Iterator[t.Callable[..., ScriptedAgent]]:
    """Provide a function that starts an agent with a socket."""
    with contextlib.ExitStack() as stack:

        def serve(name: str, /, *profiles: str, **system: str) -> ScriptedAgent:
            agent = ScriptedAgent(*profiles)
            agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "debian", **system}
            agent.handlers["guest-get-host-name"] = lambda arguments: {"host-name": system.get("name", "guest")}
            stack.enter_context(agent.listening(f"{name}.qga"))
            return agent

        yield serve


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    return hypervisor


@pytest.fixture(name="warnings")
def fixture_warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the warnings that the plugin shows."""
    warnings: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda self, message, *rest, **options: warnings.append(message))
    return warnings


@pytest.fixture(name="read")
def fixture_read(tmp_path: pathlib.Path, sockets: pathlib.Path, warnings: list[str]) -> Read:
    """Provide a function that reads an inventory with some options, by default all sockets."""

    def read(*, use_cache: bool = True, **options: t.Any) -> InventoryData:
        path = tmp_path / "vms.qga.yml"
        if "uris" not in options:
            options.setdefault("sockets", [f"{sockets}/*.qga"])
        path.write_text(yaml.safe_dump({"plugin": "netless.qga.domains", **options}), encoding="utf-8")
        plugin = inventory_loader.get("netless.qga.domains")
        assert plugin.verify_file(str(path))
        inventory = InventoryData()
        plugin.parse(inventory, DataLoader(), str(path), cache=use_cache)
        # InventoryManager does this.
        with contextlib.suppress(AttributeError):
            plugin.update_cache_if_changed()
        inventory.reconcile_inventory()
        return inventory

    return read


def variables(inventory: InventoryData, host: str) -> dict[str, t.Any]:
    return dict(inventory.hosts[host].vars)


def groups(inventory: InventoryData) -> dict[str, set[str]]:
    """Return the hosts of each group, without Ansible's own groups."""
    found = {name: {host.name for host in group.get_hosts()} for name, group in inventory.groups.items()}
    return {name: hosts for name, hosts in found.items() if name not in ("all", "ungrouped")}


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("domains.yml", True),
        ("qga.yaml", True),
        ("vms.qga.yml", True),
        ("vms.domains.yaml", True),
        ("vms.yml", False),
        ("subdomains.yml", False),
        ("qga.ini", False),
        ("qga", False),
    ],
)
def test_name_of_the_file(tmp_path: pathlib.Path, name: str, accepted: bool) -> None:
    (tmp_path / name).touch()
    assert inventory_loader.get("netless.qga.domains").verify_file(str(tmp_path / name)) is accepted


def test_file_that_does_not_exist(tmp_path: pathlib.Path) -> None:
    assert not inventory_loader.get("netless.qga.domains").verify_file(str(tmp_path / "qga.yml"))


def test_hosts_and_groups(read: Read, serve: t.Callable[..., ScriptedAgent], warnings: list[str]) -> None:
    serve("web1")
    serve("db1", id="rocky")
    serve("hung", "silence")
    inventory = read(agent_timeout=5)
    assert groups(inventory) == {
        "qga_domains": {"web1", "db1", "hung"},
        "qga_state_running": {"web1", "db1"},
        "qga_state_unknown": {"hung"},
        "qga_agent_reachable": {"web1", "db1"},
        "qga_agent_silent": {"hung"},
        "qga_os_debian": {"web1"},
        "qga_os_rocky": {"db1"},
    }
    assert variables(inventory, "db1")["qga_os"] == {"id": "rocky"}
    assert variables(inventory, "db1")["ansible_connection"] == "netless.qga.guest_agent"
    assert "qga_os" not in variables(inventory, "hung")
    assert warnings == []


def test_domain_of_libvirt(read: Read, hypervisor: Hypervisor) -> None:
    hypervisor.serve(guest_get_osinfo={"id": "debian"})
    inventory = read(uris=["qemu+ssh://root@hv1/system"])
    found = variables(inventory, "db1")
    assert (found["ansible_host"], found["ansible_libvirt_uri"]) == ("db1", "qemu+ssh://root@hv1/system")
    assert found["qga_os"] == {"id": "debian"}
    # The connection does not need what this plugin opened.
    assert hypervisor.closed


def test_default_hypervisor_is_in_the_environment(
    read: Read, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor.power = OFF
    assert variables(read(sockets=[]), "db1")["ansible_libvirt_uri"] == "qemu:///system"
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu+tls://hv1/system")
    assert variables(read(sockets=[]), "db1")["ansible_libvirt_uri"] == "qemu+tls://hv1/system"


def test_variables_are_json(read: Read, serve: t.Callable[..., ScriptedAgent]) -> None:
    serve("web1", name="Dēbian \U0001f427")
    found = variables(read(), "web1")
    assert json.loads(json.dumps(found)) == found


def test_strings_of_guests_are_not_trusted(read: Read, serve: t.Callable[..., ScriptedAgent]) -> None:
    serve("web1", name="{{ 7 * 7 }}", version="12")
    inventory = read(compose={"composed": "qga_os.name", "joined": "qga_os.name ~ '!'"})
    found = variables(inventory, "web1")
    assert found["qga_os"] == {"id": "debian", "name": "{{ 7 * 7 }}", "version": "12"}
    guests = (*found["qga_os"].values(), found["composed"], found["joined"], found["qga_agent_version"])
    assert not any(map(is_trusted_as_template, guests))
    # Programs that read ansible-inventory expect these to be strings.
    assert is_trusted_as_template(found["ansible_qga_endpoint"])


def test_names_that_look_like_templates_are_not_trusted(read: Read, serve: t.Callable[..., ScriptedAgent]) -> None:
    serve("{{ 7 * 7 }}")
    found = variables(read(), "{{ 7 * 7 }}")
    assert not any(is_trusted_as_template(found[name]) for name in ("qga_domain", "ansible_qga_endpoint"))


@pytest.mark.parametrize(
    ("filters", "hosts"),
    [
        ([], {"web1", "web2", "db1"}),
        ([{"include": "qga_domain is match('web')"}, {"exclude": True}], {"web1", "web2"}),
        ([{"exclude": "qga_domain == 'web1'"}], {"web2", "db1"}),
        ([{"exclude": "qga_domain == 'web1'"}, {"include": "qga_domain[:3] == 'web'"}, {"exclude": True}], {"web2"}),
        ([{"include": "qga_uuid != ''", "exclude": None}, {"exclude": "qga_state == 'unknown'"}], set()),
    ],
)
def test_filters(
    read: Read, serve: t.Callable[..., ScriptedAgent], filters: list[dict[str, t.Any]], hosts: set[str]
) -> None:
    agents = {name: serve(name) for name in ("web1", "web2", "db1")}
    assert set(read(filters=filters).hosts) == hosts
    assert {name for name, agent in agents.items() if agent.requests} == hosts


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"include": "qga_metadata.app.role == 'web'"}, "qga_metadata.app.role"),
        ({"include": "true", "exclude": "true"}, "either include or exclude"),
        ({}, "either include or exclude"),
    ],
)
def test_filter_that_fails(
    read: Read, serve: t.Callable[..., ScriptedAgent], rule: dict[str, t.Any], message: str
) -> None:
    serve("web1")
    with pytest.raises(AnsibleParserError, match=message):
        read(filters=[rule])


def test_metadata(read: Read, hypervisor: Hypervisor) -> None:
    hypervisor.power = OFF
    hypervisor.metadata = "<info xmlns='https://example.com/app'><role>db</role></info>"
    options = {
        "uris": ["qemu:///system"],
        "metadata": {"app": "https://example.com/app"},
        "keyed_groups": [{"key": "qga_metadata.app.role", "prefix": "role"}],
    }
    include = [{"include": "qga_metadata.app.role == 'db'"}, {"exclude": True}]
    assert groups(read(filters=include, **options))["role_db"] == {"db1"}
    assert not read(filters=[{"exclude": "qga_metadata.app.role == 'db'"}], **options).hosts


def test_constructed_features(read: Read, serve: t.Callable[..., ScriptedAgent], sockets: pathlib.Path) -> None:
    serve("web1")
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(f"{sockets}/ended.qga")
    inventory = read(
        compose={"port": "8000 + 80", "system": "qga_os.id"},
        groups={
            "has_system": "system is defined and system == 'debian'",
            "old": "qga_agent_version is version('9', '<')",
        },
        keyed_groups=[{"key": "qga_os.id", "prefix": "os"}],
    )
    found = groups(inventory)
    assert (found["has_system"], found["os_debian"]) == ({"web1"}, {"web1"})
    assert variables(inventory, "ended")["port"] == 8080
    assert "system" not in variables(inventory, "ended")


def test_strict_makes_failing_expressions_fatal(read: Read, serve: t.Callable[..., ScriptedAgent]) -> None:
    serve("hung", "silence")
    with pytest.raises(AnsibleError, match="system"):
        read(agent_timeout=0.2, strict=True, compose={"system": "qga_os.id"})


def test_name_by_an_expression(read: Read, serve: t.Callable[..., ScriptedAgent]) -> None:
    serve("100", name="web1")
    inventory = read(hostname="'vm' ~ qga_domain ~ '-' ~ qga_hostname", subset=["hostname"])
    assert set(inventory.hosts) == {"vm100-web1"}


@pytest.mark.parametrize("hostname", ["qga_hostname", "qga_id", "[1]"])
def test_name_that_cannot_be_made(
    read: Read, serve: t.Callable[..., ScriptedAgent], warnings: list[str], hostname: str
) -> None:
    serve("web1")
    assert set(read(hostname=hostname).hosts) == {"web1"}
    assert "keeps its own" in warnings[0]
    with pytest.raises(AnsibleError, match="is no name for web1"):
        read(hostname=hostname, strict=True)


def test_guest_cannot_become_the_controller(
    read: Read, serve: t.Callable[..., ScriptedAgent], warnings: list[str]
) -> None:
    serve("web1", name="localhost")
    serve("db1", name="db1")
    options = {"hostname": "qga_hostname", "subset": ["hostname"]}
    assert set(read(**options).hosts) == {"db1"}
    assert "'localhost' cannot be the name of a host" in warnings[0]
    with pytest.raises(AnsibleParserError, match="localhost"):
        read(strict=True, **options)


def test_source_that_cannot_be_read(
    read: Read,
    serve: t.Callable[..., ScriptedAgent],
    hypervisor: Hypervisor,
    sockets: pathlib.Path,
    warnings: list[str],
) -> None:
    serve("web1")
    hypervisor.open_failures = [Failure(38, "No route to host")]
    inventory = read(uris=["qemu+tls://hv1.example.com/system"], sockets=[f"{sockets}/*.qga"])
    assert set(inventory.hosts) == {"web1"}
    assert [group.name for group in inventory.groups["qga_failed_sources"].child_groups] == [
        "qga_failed_hv1_example_com"
    ]
    assert "No route to host" in warnings[0]
    assert inventory.groups["qga_failed_sources"].vars == {
        "qga_failures": {"qemu+tls://hv1.example.com/system": warnings[0]}
    }


def test_nothing_can_be_read(read: Read, hypervisor: Hypervisor) -> None:
    hypervisor.open_failures = [Failure(38, "No route to host")]
    with pytest.raises(AnsibleParserError, match=r"Nothing could be read. .*No route to host.*No such file"):
        read(uris=["qemu+tls://hv1/system"], sockets=["/nowhere/*.qga"])


def test_agents_are_not_asked(read: Read, serve: t.Callable[..., ScriptedAgent]) -> None:
    agent = serve("web1")
    assert groups(read(ask_agents=False))["qga_agent_not_asked"] == {"web1"}
    assert agent.received == b""


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"agent_timeout": -1}, {"parallel": 0}, {"hypervisor_timeout": float("nan")}]
)
def test_numbers_have_to_be_positive(read: Read, options: dict[str, float]) -> None:
    with pytest.raises(AnsibleError, match=f"{next(iter(options))} is .*: it has to be"):
        read(**options)


def test_cache(read: Read, serve: t.Callable[..., ScriptedAgent], tmp_path: pathlib.Path) -> None:
    agent = serve("web1", name="{{ 7 * 7 }}")
    options = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
    }
    first = read(**options)
    asked = len(agent.requests)
    second = read(**options, compose={"composed": "qga_os.name"})
    assert len(agent.requests) == asked
    assert variables(second, "web1") == {**variables(first, "web1"), "composed": "{{ 7 * 7 }}"}
    assert not is_trusted_as_template(variables(second, "web1")["qga_os"]["name"])
    assert groups(second) == groups(first)
    # Other questions, and --flush-cache.
    assert "qga_hostname" in variables(read(**options, subset=["hostname"]), "web1")
    asked = len(agent.requests)
    read(**options, use_cache=False)
    assert len(agent.requests) > asked


def test_incomplete_inventory_is_not_kept(
    read: Read,
    serve: t.Callable[..., ScriptedAgent],
    hypervisor: Hypervisor,
    sockets: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    serve("web1")
    hypervisor.serve()
    hypervisor.open_failures = [Failure(38, "No route to host")]
    options = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
        "uris": ["qemu:///system"],
        "sockets": [f"{sockets}/*.qga"],
    }
    assert set(read(**options).hosts) == {"web1"}
    hypervisor.open_failures = []
    assert set(read(**options).hosts) == {"web1", "db1"}
