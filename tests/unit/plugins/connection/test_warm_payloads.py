# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The payloads of the ansible-core that runs the tests: all that warm execution has to recognize in them."""

from __future__ import annotations

import base64
import importlib
import io
import re
import subprocess
import sys
import typing as t
import zipfile

import pytest
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.payload import parse_archive, parse_payload

MODULES = ("ping", "setup", "apt", "command", "copy", "user")


def build(name: str, **arguments: t.Any) -> bytes:
    """Return the payload of a module of ansible-core, as the action plugins build it."""
    path = importlib.import_module(f"ansible.modules.{name}").__file__
    built = modify_module(
        module_name=f"ansible.legacy.{name}",
        module_path=path,
        module_args=arguments,
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression="ZIP_DEFLATED",
    )
    return built.b_module_data


@pytest.mark.parametrize("name", MODULES)
def test_payload_is_recognized(name: str) -> None:
    program = build(name, text="one'two\nthree\u00e9")
    payload = parse_payload(program)
    assert payload is not None and payload.module == f"ansible.builtin.{name}"
    parts = (payload.wrapper, payload.before, payload.zip_data.decode(), payload.after)
    assert "".join(parts).encode() == program
    archive = parse_archive(payload.zip_data)
    assert archive is not None
    content = b"".join(part for member in archive.members for part in (member.between, member.data)) + archive.rest
    assert base64.b64encode(content) == payload.zip_data
    with zipfile.ZipFile(io.BytesIO(content)) as original:
        assert {member.path for member in archive.members} == set(original.namelist())


@pytest.mark.parametrize("secrets", [b"frozenset()", b"frozenset({'one', 'two\\nlines'})"])
def test_payload_with_secrets_is_recognized(secrets: bytes) -> None:
    # ansible-core names them since 2.22, between the extensions and the zip.
    program = re.sub(rb"\nsecrets=[^\n]*", b"", build("ping"))
    program = program.replace(b"\nzip_data=", b"\nsecrets=" + secrets + b",\nzip_data=")
    payload = parse_payload(program)
    assert payload is not None and secrets.decode("ascii") in payload.before
    assert secrets.decode("ascii") not in repr(payload)


def test_two_modules_share_nearly_all_members() -> None:
    names = []
    for module in ("ping", "command"):
        payload = parse_payload(build(module))
        archive = parse_archive(payload.zip_data) if payload else None
        assert archive is not None
        names.append({member.name for member in archive.members})
    assert len(names[1] - names[0]) <= 2


def test_payload_runs_in_its_parts() -> None:
    # The server executes the wrapper and the call one after the other.
    payload = parse_payload(build("ping", data="pong"))
    assert payload is not None
    program = f"exec({payload.wrapper!r})\nexec({(payload.before + payload.zip_data.decode() + payload.after)!r})\n"
    completed = subprocess.run([sys.executable], input=program.encode(), capture_output=True, check=True, timeout=60)
    assert b'"ping": "pong"' in completed.stdout
