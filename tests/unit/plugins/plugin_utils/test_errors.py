# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mapping of our exceptions to Ansible's, and the picture of the tree in errors.py."""

from __future__ import annotations

import pytest
from ansible.errors import (
    AnsibleAuthenticationFailure,
    AnsibleConnectionFailure,
    AnsibleError,
    AnsibleFileNotFound,
)

from ansible_collections.netless.qga.plugins.module_utils import errors
from ansible_collections.netless.qga.plugins.plugin_utils.errors import ansible_errors

UNREACHABLE = (errors.Unreachable, errors.OutcomeUnknown, errors.ProtocolViolation, errors.WrongUser)

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QgaError)]


def raised(exc: Exception) -> AnsibleError:
    with pytest.raises(AnsibleError) as caught, ansible_errors():
        raise exc
    return caught.value


@pytest.mark.parametrize("kind", EVERY)
def test_error_makes_the_host_unreachable_or_the_task_fail(kind: type[errors.QgaError]) -> None:
    error = raised(kind("what was tried, and what to do next"))
    assert isinstance(error, AnsibleConnectionFailure) is issubclass(kind, UNREACHABLE)
    assert "what was tried, and what to do next" in str(error)


def test_wrong_user_is_an_authentication_failure() -> None:
    error = raised(errors.WrongUser("the agent runs as another user"))
    assert isinstance(error, AnsibleAuthenticationFailure)


def test_missing_file_is_file_not_found() -> None:
    error = raised(FileNotFoundError("the guest has no file /x"))
    assert isinstance(error, AnsibleFileNotFound) and "the guest has no file /x" in str(error)


def test_os_error_is_a_failure() -> None:
    error = raised(PermissionError(13, "Permission denied", "/x"))
    assert error.__class__ is AnsibleError and "Permission denied" in str(error)


@pytest.mark.parametrize("exc", [AnsibleError("raised before"), KeyboardInterrupt(), ZeroDivisionError()])
def test_other_exceptions_pass_unchanged(exc: BaseException) -> None:
    with pytest.raises(type(exc)) as caught, ansible_errors():
        raise exc
    assert caught.value is exc


def test_tree_in_the_docstring_matches_the_classes() -> None:
    """Check that the picture in the docstring shows every exception below its base class."""
    above: list[tuple[int, str]] = []
    pictured: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.strip("│├└─ ").split()
        if not words or not hasattr(errors, words[0]):
            continue
        depth = line.index(words[0])
        above = [entry for entry in above if entry[0] < depth]
        pictured[words[0]] = above[-1][1] if above else None
        above.append((depth, words[0]))
    derived = {kind.__name__: kind.__base__.__name__ for kind in EVERY if kind.__base__}
    assert pictured == {**derived, "QgaError": None}
