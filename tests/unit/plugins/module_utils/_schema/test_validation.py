# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The library that validation needs."""

from __future__ import annotations

import sys
import types
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._schema import validation
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import (
    check_arguments,
    check_reply,
    require_jsonschema,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, LibraryMissing


@pytest.fixture
def no_validators() -> t.Iterator[None]:
    def forget() -> None:
        for function in vars(validation).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()

    forget()
    yield
    forget()


@pytest.mark.usefixtures("no_validators")
@pytest.mark.parametrize("found", [None, types.ModuleType("jsonschema")], ids=["none", "old"])
def test_missing_or_old_jsonschema_is_reported(found: types.ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", found)
    for check in (check_arguments, check_reply):
        with pytest.raises(LibraryMissing, match=r"jsonschema .*4\.0 or newer"):
            check("guest-ping", {})
    with pytest.raises(LibraryMissing, match="python3 -m pip install jsonschema"):
        require_jsonschema()
    with pytest.raises(InvalidRequest):
        check_arguments("guest-pong", {})
