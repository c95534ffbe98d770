# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of arguments before they go to the agent, and of replies before anything relies on them.

An error names the place and what was expected there. It never contains the value that was found, which may be a
password or come from a hostile guest.
"""

from __future__ import annotations

import contextvars
import difflib
import functools
import itertools
import math
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._schema.commands import (
    COMMANDS,
    QEMU_VERSION,
    REPLY_TYPES,
    REQUEST_TYPES,
    Schema,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    InvalidRequest,
    LibraryMissing,
    ProtocolViolation,
)

if t.TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_MAX_NAME = 40
"""Characters of a name in an error; QEMU's longest name has 30."""
_MAX_NAMES = 12
"""Names in a list in an error."""

_MIN_CHECK_TIME = 1.0
"""Seconds that checking a reply may take even if the deadline has passed: the reply may come at the last moment."""

_NEVER = Deadline(math.inf)

_check_deadline: contextvars.ContextVar[Deadline] = contextvars.ContextVar("_check_deadline", default=_NEVER)
"""When the check that is in progress has to end. A validator is made once and has no other way to learn it."""

_KINDS: dict[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


def require_jsonschema() -> None:
    """Check that jsonschema is installed.

    :raises LibraryMissing: jsonschema 4.0 or newer is missing.
    """
    _validator_class()


def check_arguments(command: str, arguments: t.Mapping[str, t.Any]) -> None:
    """Check that the newest known agent accepts these arguments. An older one may accept fewer.

    :raises InvalidRequest: there is no such command, or an argument is missing, unknown, of another type, out of range
        or not one of the permitted values.
    :raises LibraryMissing: jsonschema 4.0 or newer is missing.
    """
    if command not in COMMANDS:
        raise InvalidRequest(_unknown_command(command))
    # jsonschema takes only a dict for an object.
    error = next(iter(_validator("arguments", command).iter_errors(dict(arguments))), None)
    if error is not None:
        raise InvalidRequest(f"{command}: {_explain(error, REQUEST_TYPES)}")


def check_reply(command: str, reply: t.Any, deadline: Deadline = _NEVER) -> None:
    """Check the value of a reply. Members and values that a newer agent added are accepted.

    The check ends at the first error, and takes about 15 microseconds for each value until then.

    :param command: the command that was answered. Any reply to a command that is not in the schema is accepted.
    :param deadline: when the check has to end, but not earlier than in a second.
    :raises ProtocolViolation: a member is missing, of another type or out of range; or the reply holds more than can be
        checked before the deadline.
    :raises LibraryMissing: jsonschema 4.0 or newer is missing.
    """
    if command not in COMMANDS:
        return
    token = _check_deadline.set(max(deadline, Deadline.after(_MIN_CHECK_TIME)))
    try:
        error = next(iter(_validator("returns", command).iter_errors(reply)), None)
    except TimeoutError as exc:
        raise ProtocolViolation(f"{command}: the reply holds more than can be checked before the deadline") from exc
    finally:
        _check_deadline.reset(token)
    if error is not None:
        raise ProtocolViolation(f"{command}: {_explain(error, REPLY_TYPES)}")


@functools.cache
def _validator(part: t.Literal["arguments", "returns"], command: str) -> Validator:
    schema = COMMANDS[command][part]
    types = REQUEST_TYPES if part == "arguments" else REPLY_TYPES
    return _validator_class()({**schema, "$defs": types})


@functools.cache
def _validator_class() -> type[Validator]:
    # Imported here: it takes longer than all the rest of a module, and the connection does not need it.
    try:
        from jsonschema import Draft202012Validator, validators
    except ImportError as exc:
        raise LibraryMissing(
            "the Python library jsonschema 4.0 or newer is needed to check commands and replies: install "
            "python3-jsonschema of the distribution for the Python that runs this. Where it is older, as in RHEL 9, "
            "Debian 11 and Ubuntu 22.04, install it from PyPI with python3 -m pip install jsonschema"
        ) from exc
    # The agent does not accept 1.0 as an integer, a tuple becomes a list on the wire, and some versions of jsonschema
    # fail on names that are not strings.
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "array": _is_list, "object": _is_object}
    )
    extended = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, validators={"items": _check_items}, type_checker=checker
    )
    return t.cast("type[Validator]", extended)


def _check_items(
    validator: t.Any, items: Schema, instance: t.Any, dummy: t.Mapping[str, t.Any]
) -> t.Iterator[ValidationError]:
    """Check each item of a list, as jsonschema's own function does, until the deadline.

    Lists are all that can make a check long: of an object, only the members that the schema has are checked.

    :raises TimeoutError: the deadline passed.
    """
    if not validator.is_type(instance, "array"):
        return
    deadline = _check_deadline.get()
    for index, item in enumerate(instance):
        if deadline.passed:
            raise TimeoutError
        yield from validator.descend(item, items, path=index)


def _is_integer(dummy: t.Any, value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(dummy: t.Any, value: t.Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_object(dummy: t.Any, value: t.Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _unknown_command(command: str) -> str:
    similar = difflib.get_close_matches(command[:_MAX_NAME], COMMANDS, n=2, cutoff=0.75)
    hint = f"; did you mean {' or '.join(similar)}?" if similar else "."
    return (
        f"{_quoted(command)}: not a command of QEMU {QEMU_VERSION}'s agent{hint} "
        "Newer commands, and those of a vendor, can be sent with validate: false"
    )


def _explain(error: ValidationError, types: t.Mapping[str, Schema]) -> str:
    """Describe an error in terms of the schema only: jsonschema's own message quotes the value."""
    path = list(error.absolute_path)
    schema: t.Any = error.schema
    if error.validator == "anyOf":
        # QAPI's alternatives differ in their JSON type, so the one with the right type was meant.
        context = error.context or []
        mistyped = {inner.schema_path[0] for inner in context if inner.validator == "type" and not inner.relative_path}
        meant = next((inner for inner in context if inner.schema_path[0] not in mistyped), None)
        if meant is not None:
            return _explain(meant, types)
    instance: t.Any = error.instance
    if error.validator == "required":
        missing = next(name for name in schema["required"] if name not in instance)
        return f"{_where([*path, missing])}missing, expected {_expected(schema['properties'][missing], types)}"
    if error.validator == "additionalProperties":
        allowed = schema.get("properties", {})
        unknown = [name for name in instance if name not in allowed]
        return f"{_where(path)}{_listed(unknown)} not expected here; allowed: {_listed(allowed) or 'nothing'}"
    if error.validator in ("minimum", "maximum"):
        bound = "at least" if error.validator == "minimum" else "at most"
        return f"{_where(path)}expected an integer of {bound} {schema[error.validator]}"
    got = "another value" if error.validator == "enum" else _kind_of(instance)
    return f"{_where(path)}expected {_expected(schema, types)}, got {got}"


def _where(path: t.Sequence[str | int]) -> str:
    """Return the path to a value, like ``vcpus[0].online: ``. All its names are from the schema."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{steps.lstrip('.')}: " if steps else ""


def _expected(schema: Schema, types: t.Mapping[str, Schema]) -> str:
    if "$ref" in schema:
        return _expected(types[schema["$ref"].rpartition("/")[2]], types)
    if "anyOf" in schema:
        return " or ".join(_expected(alternative, types) for alternative in schema["anyOf"])
    if "enum" in schema:
        return f"one of {_listed(schema['enum'])}"
    return _KINDS[schema["type"]] if "type" in schema else "anything"


def _kind_of(value: t.Any) -> str:
    if value is None:
        return _KINDS["null"]
    if isinstance(value, float):
        return "a floating-point number"
    for kind, name in ((bool, "boolean"), (int, "integer"), (str, "string"), ((list, tuple), "array")):
        if isinstance(value, kind):
            return _KINDS[name]
    return _KINDS["object"] if _is_object(None, value) else "something that JSON does not have"


def _listed(names: t.Iterable[str]) -> str:
    """Return the names in quotes; only the first ones if there are too many."""
    shown = [_quoted(name) for name in itertools.islice(names, _MAX_NAMES + 1)]
    if len(shown) > _MAX_NAMES:
        shown[-1] = "and more"
    return ", ".join(shown)


def _quoted(name: str) -> str:
    return repr(name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…")
