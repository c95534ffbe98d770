# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The execution environment, with ansible-builder. Nothing here builds an image, which takes a container engine."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from bindep.depends import Depends

from .paths import AWX


def builder(*arguments: str) -> str:
    """Run ansible-builder, and return what it prints."""
    program = pathlib.Path(sys.executable).with_name("ansible-builder")
    return subprocess.run([str(program), *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def test_ansible_builder_accepts_the_definition(tmp_path: pathlib.Path) -> None:
    context = tmp_path / "context"
    builder(
        "create", "-f", str(AWX / "execution-environment.yml"), "-c", str(context), "--output-filename", "Containerfile"
    )
    steps = (context / "Containerfile").read_text(encoding="utf-8")
    assert 'ARG EE_BASE_IMAGE="centos:stream10"' in steps
    # The repository has to be there before anything is compiled.
    assert steps.index("--set-enabled crb") < steps.index("FROM base AS builder")
    assert "netless.qga" in (context / "_build" / "requirements.yml").read_text(encoding="utf-8")


def test_ansible_builder_finds_what_the_collection_needs(collections: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pip, bindep = tmp_path / "requirements.txt", tmp_path / "bindep.txt"
    builder("introspect", str(collections), "--write-pip", str(pip), "--write-bindep", str(bindep))
    libraries = {line.partition("#")[0].strip() for line in pip.read_text(encoding="utf-8").splitlines()} - {""}
    assert libraries == {"h11", "jsonschema", "libvirt-python"}
    for platform, needed, compiled in (
        ("rpm", {"libvirt-libs", "openssh-clients"}, {"gcc", "libvirt-devel", "pkgconf-pkg-config", "python3-devel"}),
        ("dpkg", {"libvirt0", "openssh-client"}, {"gcc", "libvirt-dev", "pkg-config", "python3-dev"}),
    ):
        assert packages(bindep, platform) == needed
        assert packages(bindep, platform, "compile") == needed | compiled


def packages(bindep: pathlib.Path, platform: str, *profiles: str) -> set[str]:
    """Return the packages that bindep selects on a platform: these profiles are all that it knows of one."""
    depends = Depends(bindep.read_text(encoding="utf-8"), str(bindep))
    rules = depends.active_rules([*profiles, f"platform:{platform}"])
    return {rule[0] for rule in rules}


def test_the_artifact_has_the_files(collections: pathlib.Path) -> None:
    installed = collections / "ansible_collections" / "netless" / "qga" / "extensions" / "awx"
    names = {str(path.relative_to(AWX)) for path in AWX.rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
