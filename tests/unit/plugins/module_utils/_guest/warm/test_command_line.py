# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command lines that may start a warm server, as Ansible builds them, and those that must not."""

from __future__ import annotations

import shlex

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.command_line import is_python_only

PYTHON = "/usr/bin/python3"
SUCCESS = f"echo BECOME-SUCCESS-abcdefghij ; {PYTHON}"
AS_SHELL = f"/bin/sh -c {shlex.quote(SUCCESS)}"

RECOGNIZED = [
    PYTHON,
    f"{PYTHON} && sleep 0",
    "/usr/libexec/platform-python",
    "/opt/my-env/bin/python3.12",
    f"A=1 B_2=/some/path:other {PYTHON}",
    f"A='two words' B='it'\"'\"'s' {PYTHON} && sleep 0",
    f"sudo -H -S -n  -u root {AS_SHELL}",
    f'sudo -H -S  -p "[sudo via ansible, key=abc] password:" -u root {AS_SHELL}',
    f"su  postgres -c {shlex.quote(AS_SHELL)}",
    f"doas -u root {AS_SHELL}",
    f"/usr/bin/sudo -u root /bin/sh -c {shlex.quote(SUCCESS + ' && sleep 0')}",
]

NOT_RECOGNIZED = [
    "",
    "python3",
    f"timeout 30 {PYTHON}",
    f"'timeout 30 {PYTHON}'",
    f"{PYTHON} -u",
    f"{PYTHON} /root/.ansible/tmp/module.py",
    f"{PYTHON} && sleep 0; reboot",
    f"{PYTHON}; {PYTHON}",
    f"A=$(id) {PYTHON}",
    f"A=`id` {PYTHON}",
    f'A="$HOME" {PYTHON}',
    f"cd /tmp && {PYTHON}",
    f"{PYTHON} > /tmp/out",
    "/usr/bin/perl",
    "/usr/bin/python3;id",
    f"machinectl shell root@ /bin/sh -c {shlex.quote(SUCCESS)}",
    f"cd /tmp && sudo -u root {AS_SHELL}",
    f"timeout 30 {AS_SHELL}",
    f"sudo -u root {AS_SHELL} extra",
    "sudo 'unbalanced",
]


@pytest.mark.parametrize("command", RECOGNIZED)
def test_command_line_with_only_a_python_is_recognized(command: str) -> None:
    assert is_python_only(["/bin/sh", "-c", command])


@pytest.mark.parametrize("command", NOT_RECOGNIZED)
def test_command_line_that_does_more_is_not_recognized(command: str) -> None:
    assert not is_python_only(["/bin/sh", "-c", command])


def test_command_that_is_no_shell_is_not_recognized() -> None:
    assert not is_python_only([PYTHON])
    assert not is_python_only(["/bin/sh", PYTHON, "-c"])
