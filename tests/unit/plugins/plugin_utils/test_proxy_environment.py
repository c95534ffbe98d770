# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables for a proxy are added to those of a task, which win."""

from __future__ import annotations

import typing as t

import pytest
from ansible.plugins.loader import shell_loader
from ansible.plugins.shell import ShellBase

from ansible_collections.netless.qga.plugins.plugin_utils.proxy_environment import add_proxy


@pytest.fixture(name="shell")
def fixture_shell() -> ShellBase:
    shell: ShellBase = shell_loader.get("sh")
    return shell


def test_task_without_variables_gets_those_of_the_proxy(shell: ShellBase) -> None:
    add_proxy(shell, lambda: 3129)
    assert shell.env_prefix() == (
        "http_proxy=http://127.0.0.1:3129 https_proxy=http://127.0.0.1:3129 no_proxy=localhost,127.0.0.1,::1"
    )


@pytest.mark.parametrize(
    ("own", "absent"),
    [
        ({"http_proxy": "http://proxy:1"}, "http_proxy=http://127"),
        ({"NO_PROXY": "*"}, "no_proxy="),
        ({"A": "b c"}, "B"),
    ],
)
def test_variables_of_the_task_stay(shell: ShellBase, own: dict[str, t.Any], absent: str) -> None:
    add_proxy(shell, lambda: 3128)
    prefix = shell.env_prefix(**own)
    assert f" {absent}" not in f" {prefix}"
    assert "https_proxy=http://127.0.0.1:3128" in prefix
    (name, value), *dummy = own.items()
    assert f"{name}={shell.quote(value)}" in prefix


def test_nothing_changes_without_a_proxy(shell: ShellBase) -> None:
    add_proxy(shell, lambda: None)
    assert shell.env_prefix() == "" and shell.env_prefix(a="b") == "a=b"


def test_other_shells_stay_as_they_are(shell: ShellBase) -> None:
    add_proxy(shell, lambda: 3128)
    assert shell_loader.get("sh").env_prefix() == ""
