# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of dev/generate_schema.py with small descriptions of imaginary agents."""

from __future__ import annotations

import gzip
import pathlib
import runpy
from typing import Any

import pytest

# By its path, because no import statement finds it both here and where types are checked.
GENERATOR = runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "dev" / "generate_schema.py"))
SchemaError: type[Exception] = GENERATOR["SchemaError"]

STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}


def integer(low: int, high: int) -> dict[str, Any]:
    """Return the schema of an integer in a range."""
    return {"type": "integer", "minimum": low, "maximum": high}


INT64 = integer(-(2**63), 2**63 - 1)

PROBE = """
##
# @probe:
#
# @x: of no use (since 99.9)
#
# Since: 2.5

##
{ 'command': 'probe', 'data': DATA, 'returns': RETURNS }
"""


def generated(text: str, directory: pathlib.Path) -> dict[str, Any]:
    """Return the variables of the file that is generated from a QAPI file with this text."""
    path = directory / "schema.json"
    path.write_text(text, encoding="utf-8")
    output = directory / "commands.py"
    output.write_text(GENERATOR["generate"](GENERATOR["read"](path), "1.2"), encoding="utf-8")
    return runpy.run_path(str(output))


def schemas(types: str, qapi_type: str, directory: pathlib.Path) -> tuple[Any, Any]:
    """Return the schemas of a type in a request and in a reply."""
    probe = PROBE.replace("DATA", f"{{ 'x': {qapi_type} }}").replace("RETURNS", qapi_type)
    variables = generated(types + probe, directory)
    command = variables["COMMANDS"]["probe"]

    def resolved(schema: Any, known: Any) -> Any:
        if isinstance(schema, list):
            return [resolved(item, known) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return resolved(known[schema["$ref"].removeprefix("#/$defs/")], known)
        return {key: resolved(value, known) for key, value in schema.items()}

    return (
        resolved(command["arguments"]["properties"]["x"], variables["REQUEST_TYPES"]),
        resolved(command["returns"], variables["REPLY_TYPES"]),
    )


def test_commands_are_generated_with_arguments_returns_and_since(tmp_path: pathlib.Path) -> None:
    variables = generated(
        """
        # comments, and indentation that Python would refuse
        { 'pragma': { 'doc-required': true } }
        """
        "\n##\n# @write:\n#\n# Since: 0.15.0 (POSIX only); 9.9 (elsewhere)\n##\n"
        """
          { 'command': 'write',    # it writes
         'data': { 'text': 'str', '*count': 'int' }, 'returns': 'int' }
        """
        "\n##\n# @halt:\n#\n# Since 1.5\n##\n"
        "{ 'command': 'halt', 'success-response': false, 'if': { 'not': 'CONFIG_WIN32' }, 'features': [ 'new' ] }\n"
        "##\n# @boxed:\n# Since: 2.0\n##\n"
        "{ 'command': 'boxed', 'boxed': true, 'data': 'Box' }\n"
        "{ 'struct': 'Box', 'data': {} }\n",
        tmp_path,
    )
    assert variables["QEMU_VERSION"] == "1.2"
    nothing = {"type": "object", "additionalProperties": False}
    assert variables["COMMANDS"] == {
        "boxed": {
            "since": "2.0",
            "success_response": True,
            "arguments": {"$ref": "#/$defs/Box"},
            "returns": {"type": "object"},
        },
        "halt": {"since": "1.5", "success_response": False, "arguments": nothing, "returns": {"type": "object"}},
        "write": {
            "since": "0.15.0",
            "success_response": True,
            "arguments": {
                "type": "object",
                "properties": {"text": STRING, "count": INT64},
                "additionalProperties": False,
                "required": ["text"],
            },
            "returns": INT64,
        },
    }
    assert variables["REQUEST_TYPES"] == {"Box": nothing}
    assert variables["REPLY_TYPES"] == {}


@pytest.mark.parametrize(
    ("qapi_type", "schema"),
    [
        ("'str'", STRING),
        ("'bool'", BOOLEAN),
        ("'number'", {"type": "number"}),
        ("'null'", {"type": "null"}),
        ("'any'", {}),
        ("'int'", INT64),
        ("'int64'", INT64),
        ("'int8'", integer(-128, 127)),
        ("'int16'", integer(-32768, 32767)),
        ("'int32'", integer(-(2**31), 2**31 - 1)),
        ("'uint8'", integer(0, 255)),
        ("'uint16'", integer(0, 65535)),
        ("'uint32'", integer(0, 2**32 - 1)),
        ("'uint64'", integer(0, 2**64 - 1)),
        ("'size'", integer(0, 2**64 - 1)),
        ("[ 'str' ]", {"type": "array", "items": STRING}),
    ],
)
def test_scalar_or_list_becomes_schema(qapi_type: str, schema: Any, tmp_path: pathlib.Path) -> None:
    assert schemas("", qapi_type, tmp_path) == (schema, schema)


def test_struct_is_closed_in_requests_and_open_in_replies(tmp_path: pathlib.Path) -> None:
    types = """
        { 'struct': 'Root', 'data': { 'a': 'str' } }
        { 'struct': 'Middle', 'base': 'Root', 'data': { '*b': [ 'Other' ] } }
        { 'struct': 'Leaf', 'base': 'Middle',
          'data': { 'c': { 'type': 'bool', 'if': 'CONFIG_LINUX' }, 'd': { 'type': 'int', 'features': [ 'x' ] } } }
        { 'struct': 'Other', 'data': { } }
    """
    request, reply = schemas(types, "'Leaf'", tmp_path)
    assert request == {
        "type": "object",
        "properties": {
            "a": STRING,
            "b": {"type": "array", "items": {"type": "object", "additionalProperties": False}},
            "c": BOOLEAN,
            "d": INT64,
        },
        "additionalProperties": False,
        "required": ["a", "d"],
    }
    assert reply == {
        "type": "object",
        "properties": {"a": STRING, "b": {"type": "array", "items": {"type": "object"}}, "c": BOOLEAN, "d": INT64},
        "required": ["a", "d"],
    }


def test_struct_may_contain_itself(tmp_path: pathlib.Path) -> None:
    variables = generated(
        "{ 'struct': 'Tree', 'data': { '*branches': [ 'Tree' ] } }"
        + PROBE.replace("DATA", "{}").replace("RETURNS", "'Tree'"),
        tmp_path,
    )
    branches = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    assert variables["REPLY_TYPES"] == {"Tree": {"type": "object", "properties": {"branches": branches}}}


def test_enum_is_checked_in_requests_only(tmp_path: pathlib.Path) -> None:
    types = "{ 'enum': 'Color', 'data': [ 'red', { 'name': 'blue', 'if': 'CONFIG_BLUE' } ], 'prefix': 'PAINT' }"
    assert schemas(types, "'Color'", tmp_path) == ({"type": "string", "enum": ["red", "blue"]}, STRING)


def test_alternate_becomes_any_of(tmp_path: pathlib.Path) -> None:
    types = """
        { 'enum': 'Mode', 'data': [ 'on', 'off' ] }
        { 'alternate': 'Switch', 'data': { 'flag': 'bool', 'mode': { 'type': 'Mode', 'if': 'CONFIG_MODE' } } }
    """
    assert schemas(types, "'Switch'", tmp_path) == (
        {"anyOf": [BOOLEAN, {"type": "string", "enum": ["on", "off"]}]},
        {"anyOf": [BOOLEAN, STRING]},
    )


@pytest.mark.parametrize("base", ["{ 'type': 'Kind', '*note': 'str' }", "'Base'"])
def test_union_depends_on_its_discriminator(base: str, tmp_path: pathlib.Path) -> None:
    types = f"""
        {{ 'enum': 'Kind', 'data': [ 'disk', 'none' ] }}
        {{ 'struct': 'Base', 'data': {{ 'type': 'Kind', '*note': 'str' }} }}
        {{ 'struct': 'Disk', 'data': {{ 'size': 'uint8' }} }}
        {{ 'union': 'Device', 'base': {base}, 'discriminator': 'type', 'data': {{ 'disk': 'Disk' }} }}
    """
    request, reply = schemas(types, "'Device'", tmp_path)

    def when(kind: str) -> dict[str, Any]:
        return {"properties": {"type": {"const": kind}}, "required": ["type"]}

    kinds = {"type": "string", "enum": ["disk", "none"]}
    assert request == {
        "type": "object",
        "properties": {"type": kinds, "note": STRING},
        "required": ["type"],
        "allOf": [
            {
                "if": when("disk"),
                "then": {
                    "type": "object",
                    "properties": {"type": kinds, "note": STRING, "size": integer(0, 255)},
                    "additionalProperties": False,
                    "required": ["type", "size"],
                },
            },
            {
                "if": when("none"),
                "then": {
                    "type": "object",
                    "properties": {"type": kinds, "note": STRING},
                    "additionalProperties": False,
                    "required": ["type"],
                },
            },
        ],
    }
    assert reply == {
        "type": "object",
        "properties": {"type": STRING, "note": STRING},
        "required": ["type"],
        "allOf": [
            {
                "if": when("disk"),
                "then": {"type": "object", "properties": {"size": integer(0, 255)}, "required": ["size"]},
            }
        ],
    }


def test_generated_lines_are_at_most_120_characters(tmp_path: pathlib.Path) -> None:
    text = "".join(
        f"##\n# @{'c' * length}:\n# Since: 1.0\n##\n{{ 'command': '{'c' * length}', 'data': {{ 'a': 'str' }} }}\n"
        for length in range(1, 110)
    )
    variables = generated(text, tmp_path)
    assert len(variables["COMMANDS"]) == 109
    lines = (tmp_path / "commands.py").read_text(encoding="utf-8").splitlines()
    assert max(len(line) for line in lines if "ccc" not in line) <= 120


def test_included_and_compressed_files_are_read_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.json").write_text("{ 'include': '../two.json.gz' }\n{ 'include': '../schema.json' }\n")
    (tmp_path / "two.json.gz").write_bytes(gzip.compress(b"{ 'struct': 'Two', 'data': {} }"))
    includes = "{ 'include': 'parts/one.json' }\n{ 'include': 'two.json.gz' }\n"
    assert schemas(includes, "'Two'", tmp_path)[1] == {"type": "object"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{ 'include': 'absent.json' }", r"absent\.json: .*No such file"),
        ("\n\n{ 'struct': 'A',", r"schema\.json:3: not QAPI"),
        ("{ 'struct': 'A', 'data': } }", r"schema\.json:1: not QAPI"),
        ("{ 'struct': 'A', 'data': print() }", r"schema\.json:1: not QAPI"),
        ("{ 'struct': 'A }", r"schema\.json:1: not QAPI"),
        ("{}\n[ 'struct' ]", r"schema\.json:1: an expression of an unknown kind"),
        ("[ 'struct' ]", r"schema\.json:1: an expression that is not an object"),
        ("struct", r"schema\.json:1: not QAPI"),
        ("}", r"schema\.json:1: not QAPI"),
        ("{ 'event': 'STOP' }", r"schema\.json:1: an expression of an unknown kind, with event"),
        ("{ 'struct': 'A', 'data': {}, 'secret': true }", "struct A has secret, which this generator does not know"),
        ("{ 'enum': 'A', 'data': [] }\n{ 'enum': 'A', 'data': [] }", r"schema\.json:2: enum A is defined twice"),
        ("{ 'command': 'a' }", "command a: the version that introduced it is not documented"),
        (PROBE.replace("DATA", "{}").replace("RETURNS", "'Absent'"), "there is no type Absent"),
        (
            "{ 'enum': 'Kind', 'data': [] }\n{ 'struct': 'A', 'base': 'Kind', 'data': {} }"
            + PROBE.replace("DATA", "{}").replace("RETURNS", "'A'"),
            "enum Kind is used where only a struct is supported",
        ),
    ],
)
def test_unknown_qapi_is_an_error(text: str, reason: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SchemaError, match=reason):
        generated(text, tmp_path)


def test_differences_are_shown_as_a_diff(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "commands.py"
    assert "+one\n" in GENERATOR["differences"]("one\n", path)
    path.write_text("one\n", encoding="utf-8")
    assert GENERATOR["differences"]("one\n", path) == ""
    assert "-one\n+two\n" in GENERATOR["differences"]("two\n", path)
