# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The credential type, with the code of AWX that injects credentials into jobs."""

from __future__ import annotations

import pathlib
import stat
from typing import Any

import pytest
from awx_plugins.interfaces._temporary_private_inject_api import ENV_BLOCKLIST, HIDDEN_PASSWORD
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .injection import TYPE, Injected

INPUTS = {
    "libvirt_uri": "qemu+libssh://root@hypervisor/system",
    # AWX adds the line break that a key has to end with.
    "ssh_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----",
    "known_hosts": "hypervisor ssh-ed25519 AAAA",
}
FIELD_KEYS = {"id", "label", "type", "format", "secret", "multiline", "help_text"}
"""The keys of a field that this type uses, all of which AWX knows. It refuses unknown ones."""


def test_uri_names_key_and_known_hosts_and_prevents_prompts(tmp_path: pathlib.Path) -> None:
    injected = Injected(tmp_path, INPUTS)
    assert injected.uri._replace(query="").geturl() == INPUTS["libvirt_uri"]
    assert injected.file("keyfile").read_text(encoding="ascii") == INPUTS["ssh_key"] + "\n"
    assert injected.file("known_hosts").read_text(encoding="ascii") == INPUTS["known_hosts"] + "\n"
    assert {name: injected.parameters[name] for name in ("known_hosts_verify", "sshauth", "no_tty")} == {
        "known_hosts_verify": "normal",
        "sshauth": "privkey",
        "no_tty": "1",
    }


def test_parameters_of_the_uri_are_kept(tmp_path: pathlib.Path) -> None:
    injected = Injected(tmp_path, {**INPUTS, "libvirt_uri": "qemu+libssh://hv/system?mode=direct"})
    assert injected.parameters["mode"] == "direct"
    assert injected.file("keyfile").exists()


def test_only_the_user_of_the_job_can_read_the_key(tmp_path: pathlib.Path) -> None:
    assert stat.S_IMODE(Injected(tmp_path, INPUTS).file("keyfile").stat().st_mode) == 0o600


def test_the_key_is_in_no_argument_and_no_environment(tmp_path: pathlib.Path) -> None:
    injected = Injected(tmp_path, INPUTS)
    assert "c2VjcmV0" not in repr([injected.environment, injected.shown, injected.arguments])
    assert HIDDEN_PASSWORD not in injected.shown["LIBVIRT_DEFAULT_URI"]


def test_awx_accepts_the_names_of_environment_variables() -> None:
    names = set(TYPE["injectors"]["env"])
    assert names
    # AWX refuses names that could change Ansible's configuration, and skips those that could change its own.
    assert not [name for name in names if name.startswith("ANSIBLE_")]
    assert not names & ENV_BLOCKLIST


def test_awx_accepts_the_fields() -> None:
    fields = TYPE["inputs"]["fields"]
    assert [field["id"] for field in fields] == TYPE["inputs"]["required"]
    for field in fields:
        assert set(field) <= FIELD_KEYS
        assert field["id"].isidentifier()
        assert field["id"] != "tower"
        assert field["type"] == "string"
        assert field.get("format", "ssh_private_key") == "ssh_private_key"
    assert [field["id"] for field in fields if field.get("secret")] == ["ssh_key"]


@pytest.mark.parametrize("template", [*TYPE["injectors"]["file"].values(), *TYPE["injectors"]["env"].values()])
def test_templates_use_only_fields_that_exist(template: str) -> None:
    # AWX renders them like this when it saves the type, so that a name without a value is an error.
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    files = {name.partition(".")[2]: "file" for name in TYPE["injectors"]["file"]}
    fields: dict[str, Any] = dict.fromkeys(TYPE["inputs"]["required"], "EXAMPLE")
    environment.from_string(template).render(**fields, tower={"filename": files})
