# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generated schemas themselves."""

from __future__ import annotations

import typing as t

import pytest
from jsonschema import Draft202012Validator

from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS, REPLY_TYPES, REQUEST_TYPES


@pytest.mark.parametrize("command", COMMANDS)
def test_schemas_are_valid(command: str) -> None:
    for part, known in ((COMMANDS[command]["arguments"], REQUEST_TYPES), (COMMANDS[command]["returns"], REPLY_TYPES)):
        Draft202012Validator.check_schema({**part, "$defs": known})
        for reference in references([part, *known.values()]):
            assert reference.rpartition("/")[2] in known


def references(schema: t.Any) -> t.Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)
