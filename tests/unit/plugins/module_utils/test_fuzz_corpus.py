# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every input of the fuzzer's corpus holds: the seeds, and the inputs that once failed."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.tests.fuzz.targets import CORPUS, TARGETS

INPUTS = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=[f"{name}-{path.stem}" for name, path in INPUTS])
def test_input_holds(target: str, path: pathlib.Path) -> None:
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 3, b"\n\n\n", b"{}" * 3], ids=range(5))
@pytest.mark.parametrize("target", TARGETS)
def test_short_input_holds(target: str, data: bytes) -> None:
    TARGETS[target](data)


def test_corpus_has_directories_of_targets_only() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_broken_parser_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.netless.qga.tests.fuzz import json_texts

    def lenient(text: str, limits: t.Any) -> t.Any:
        import json

        return json.loads(text)

    monkeypatch.setattr(json_texts, "loads", lenient)
    with pytest.raises(json_texts.Refused):
        json_texts.strict_json(b'{"a": 1, "a": 2}')
