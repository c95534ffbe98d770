# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials of the type, as AWX gives them to jobs: the code that injects them is its own."""

from __future__ import annotations

import pathlib
from urllib.parse import parse_qs, urlsplit

from awx_plugins.interfaces._temporary_private_api import ManagedCredentialType
from awx_plugins.interfaces._temporary_private_credential_api import Credential
from awx_plugins.interfaces._temporary_private_inject_api import inject_credential

from .paths import AWX, load

TYPE = load(AWX / "credential_type.yml")


class Injected:
    """What AWX gives to a job that has a credential of the type."""

    def __init__(self, directory: pathlib.Path, inputs: dict[str, str]) -> None:
        (directory / "env").mkdir()
        self._directory = directory
        self.environment: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.arguments: list[str] = []
        kind = ManagedCredentialType(
            namespace="libvirt",
            name=TYPE["name"],
            kind=TYPE["kind"],
            inputs=TYPE["inputs"],
            injectors=TYPE["injectors"],
        )
        inject_credential(kind, Credential(inputs=inputs), self.environment, self.shown, self.arguments, str(directory))
        self.uri = urlsplit(self.environment["LIBVIRT_DEFAULT_URI"])
        self.parameters = {name: value for name, (value,) in parse_qs(self.uri.query, strict_parsing=True).items()}

    def file(self, parameter: str) -> pathlib.Path:
        """Return the file that a parameter of the URI names, which has another path in the job's container."""
        return self._directory / pathlib.Path(self.parameters[parameter]).relative_to("/runner")
