# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin with a real libvirtd, and domains in every state."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

import libvirt  # pylint: disable=import-error
import pytest

from ansible_collections.netless.qga.tests.integration.targets.vm_libvirt.domains import (
    CHANNELS,
    GUEST,
    URI,
    empty_domain,
)

NAMESPACE = "https://example.com/netless"


@pytest.fixture
def paused(hypervisor: libvirt.virConnect, tmp_path: pathlib.Path) -> t.Iterator[str]:
    """Return the name of a domain that is paused."""
    with empty_domain(hypervisor, f"paused-{tmp_path.name}", CHANNELS) as domain:
        domain.suspend()
        yield domain.name()


@pytest.fixture
def off(hypervisor: libvirt.virConnect) -> t.Iterator[str]:
    """Return the name of a domain that is off and has metadata."""
    domain = hypervisor.defineXML(
        "<domain type='qemu'><name>netless-off-inventory</name><memory unit='MiB'>16</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        "<info><role>database</role></info>",
        "app",
        NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )
    yield domain.name()
    domain.undefine()


def ansible(program: str, path: pathlib.Path, *arguments: str) -> str:
    """Return what one of Ansible's programs prints."""
    command = [sys.executable, "-m", "ansible", program, "-i", str(path), *arguments]
    completed = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", timeout=120)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def configure(directory: pathlib.Path, **options: t.Any) -> pathlib.Path:
    path = directory / "domains.yml"
    path.write_text(json.dumps({"plugin": "netless.qga.domains", "uris": [URI], **options}), encoding="utf-8")
    return path


def test_domains_in_every_state(
    hypervisor: libvirt.virConnect, empty: libvirt.virDomain, paused: str, off: str, tmp_path: pathlib.Path
) -> None:
    with empty_domain(hypervisor, f"no-channel-{tmp_path.name}") as without_channel:
        path = configure(
            tmp_path,
            agent_timeout=10,
            metadata={"app": NAMESPACE},
            filters=[{"exclude": "not qga_domain is match('netless-')"}],
            keyed_groups=[{"key": "qga_metadata.app.role", "prefix": "role"}],
        )
        found = json.loads(ansible("inventory", path, "--list"))
        names = {GUEST, empty.name(), paused, off, without_channel.name()}
    variables = {name: found["_meta"]["hostvars"][name] for name in names}

    def group(name: str) -> set[str]:
        return names & set(found.get(name, {}).get("hosts", []))

    assert group("qga_agent_reachable") == group("qga_os_debian") == {GUEST}
    assert group("qga_agent_silent") == {empty.name()}
    assert group("qga_agent_unavailable") == {without_channel.name()}
    assert group("qga_agent_not_asked") == {paused, off}
    assert group("qga_state_off") == group("role_database") == {off}
    assert group("qga_state_paused") == {paused}
    assert variables[GUEST]["qga_uuid"] == hypervisor.lookupByName(GUEST).UUIDString()
    assert variables[GUEST]["qga_id"] == hypervisor.lookupByName(GUEST).ID()
    assert variables[GUEST]["ansible_libvirt_uri"] == URI
    assert variables[off]["qga_id"] is None
    assert "the domain has no channel" in str(variables[without_channel.name()]["qga_agent_message"])


def test_guest_works_at_once(tmp_path: pathlib.Path) -> None:
    name = "'vm-' ~ qga_domain"
    path = configure(tmp_path, agent_timeout=10, hostname=name, filters=[{"exclude": f"qga_domain != '{GUEST}'"}])
    output = ansible("adhoc", path, "qga_agent_reachable", "-m", "ansible.builtin.raw", "-a", "cat /etc/os-release")
    assert f"vm-{GUEST} | CHANGED | rc=0" in output
    assert "bookworm" in output
