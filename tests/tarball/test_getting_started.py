# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of the guide to getting started, with the collection from its tarball. Needs root, to make a guest."""

from __future__ import annotations

import json
import os

import pytest

from .user import User

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("connection", "netless.qga.guest_agent"),
        ("inventory", "netless.qga.domains"),
        ("module", "netless.qga.fsfreeze"),
        ("module", "netless.qga.command"),
    ],
)
def test_documentation_is_found(user: User, kind: str, name: str) -> None:
    assert list(json.loads(user.run("ansible-doc", "--json", "--type", kind, name))) == [name]


def test_every_plugin_is_listed(user: User) -> None:
    listed = {
        kind: set(json.loads(user.run("ansible-doc", "--json", "--list", "--type", kind, "netless.qga")))
        for kind in ("connection", "inventory", "module")
    }
    modules = {f"netless.qga.{path.stem}" for path in (user.collection / "plugins/modules").glob("[a-z]*.py")}
    assert listed == {
        "connection": {"netless.qga.guest_agent"},
        "inventory": {"netless.qga.domains"},
        "module": modules,
    }
    assert len(modules) > 15


def test_guest_answers_ping(user: User, inventory: str) -> None:
    output = user.run("ansible", "--inventory", inventory, "vms", "--module-name", "ansible.builtin.ping")
    assert '"ping": "pong"' in output


def test_playbook_of_the_guide(user: User, inventory: str) -> None:
    (user.directory / "site.yml").write_text(user.guide_file("site.yml"), encoding="utf-8")
    output = user.run("ansible-playbook", "--inventory", inventory, "site.yml")
    assert "Debian 13" in output
    assert "changed=1 " in output
    assert "changed=0 " in user.run("ansible-playbook", "--inventory", inventory, "site.yml")


def test_playbook_of_the_collection(user: User, inventory: str) -> None:
    output = user.run("ansible-playbook", "--inventory", inventory, "netless.qga.shutdown", "--list-tasks")
    assert "Shut the guest down" in output


def test_diagnosis(user: User, inventory: str) -> None:
    output = user.run("ansible", "--inventory", inventory, "web1", "--module-name", "netless.qga.diagnosis_info")
    assert '"findings":' in output


def test_inventory_plugin_finds_the_guest(user: User, endpoint: str) -> None:
    # To ask agents, it needs jsonschema.
    source = {"plugin": "netless.qga.domains", "sockets": [endpoint.removeprefix("unix:")], "ask_agents": False}
    (user.directory / "guests.qga.yml").write_text(json.dumps(source), encoding="utf-8")
    listed = json.loads(user.run("ansible-inventory", "--inventory", "guests.qga.yml", "--list"))
    (variables,) = listed["_meta"]["hostvars"].values()
    assert variables["ansible_qga_endpoint"] == endpoint
