# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment variables that lead the programs of a task to a proxy."""

from __future__ import annotations

import typing as t

from ansible.plugins.shell import ShellBase

# The names that all common programs read. Some programs do not read the names in capitals.
_PROXY = ("http_proxy", "https_proxy")
_DIRECT = "no_proxy"
_LOOPBACK = "localhost,127.0.0.1,::1"


def proxy_variables(port: int, environment: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the variables for a proxy on the guest's loopback interface.

    :param port: the proxy's port.
    :param environment: the task's own variables, which stay as they are. Case does not matter.
    """
    own = {name.lower() for name in environment}
    variables = {**dict.fromkeys(_PROXY, f"http://127.0.0.1:{port}"), _DIRECT: _LOOPBACK}
    return {name: value for name, value in variables.items() if name not in own}


def add_proxy(shell: ShellBase, port: t.Callable[[], int | None]) -> None:
    """Have a task's shell add the variables to those of the task.

    :param shell: the shell plugin of a connection. Nothing else uses this object.
    :param port: returns the proxy's port, or None if there is no proxy.
    """
    usual: t.Callable[..., str] = shell.env_prefix

    def env_prefix(**environment: t.Any) -> str:
        found = port()
        added = {} if found is None else proxy_variables(found, environment)
        return usual(**added, **environment)

    # For this object only: the class has no place for variables that are not the task's own.
    shell.env_prefix = env_prefix  # type: ignore[method-assign]
