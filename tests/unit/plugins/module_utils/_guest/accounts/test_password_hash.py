# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Password hashes, with the crypt(3) of this machine if it has one."""

from __future__ import annotations

import time

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts import password_hash

PASSWORD = 'it\'s a "password" 汉语'

# With the old and new methods of Debian, Fedora and SUSE.
HASHES = [
    "$6$rounds=1000$saltsalt$anNtMr9VQmvo1pqQvbOz2A9TT3KMnh8sOOZFZYYSW/ua54/bRCLQoJ0AE3ROYgpZgVYOAgGNuiwCL037qTVRv0",
    "$5$saltsalt$haqjHqDX5.QrwCgs/fX1QQTzCg89WrnYGLd4pi3Lg3B",
    "$1$saltsalt$.G9em/aK45Kj5.ZczSBu61",
    "$2b$05$abcdefghijklmnopqrstuuVjgBG6cHNcLBcZWZc500ZbK4admmAN6",
    "$y$j75$saltsaltsaltsalt$fq0d04dyAA6FsdvBeNzhAsq6z95Vvf5vjSBcZR5SHo6",
    "$gy$j75$saltsaltsaltsalt$Vos/JnzOWWNeAAcTwU2jBgxlN9F8fUnUyCo0Br6xhV/",
]

needs_crypt = pytest.mark.skipif(
    password_hash._find_crypt() is None,  # pylint: disable=protected-access
    reason="there is no libcrypt",
)


@needs_crypt
@pytest.mark.parametrize("known", HASHES)
def test_hash_belongs_to_its_password_only(known: str) -> None:
    assert password_hash.is_hash(known)
    # glibc's own crypt does not know all methods.
    assert password_hash.is_hash_of(known, PASSWORD) is not False
    assert not password_hash.is_hash_of(known, f"{PASSWORD}.")


@needs_crypt
def test_sha512_is_always_known() -> None:
    assert password_hash.is_hash_of(HASHES[0], PASSWORD) is True
    assert password_hash.is_hash_of(HASHES[0], "another") is False


@pytest.mark.parametrize(
    "known",
    [
        "",
        "*",
        "!",
        "!!",
        "x",
        f"!{HASHES[0]}",
        "abcdefghijklm",
        "$6$",
        "$9$unknown$hash",
        "$6$rounds=999999999$salt$" + "a" * 86,
        "$6$rounds=x$salt$" + "a" * 86,
        "$2b$31$" + "a" * 53,
        "$y$jFT$salt$" + "a" * 43,
        "$7$CU..../....salt$hash",
        "$6$salt\n$" + "a" * 86,
        "$6$s\u00e4lt$" + "a" * 86,
        "$6$" + "a" * 500,
    ],
)
def test_invalid_or_expensive_hash_is_not_computed(known: str) -> None:
    started = time.thread_time()
    assert password_hash.is_hash_of(known, PASSWORD) is None
    assert time.thread_time() - started < 1


def test_missing_library_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_hash, "_LIBRARIES", ("libnone.so.0",))
    assert password_hash.is_hash_of(HASHES[0], PASSWORD) is None


def test_unknown_method_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for computed in (None, b"*0"):
        monkeypatch.setattr(password_hash, "_find_crypt", lambda computed=computed: lambda password, setting: computed)
        assert password_hash.is_hash_of(HASHES[0], PASSWORD) is None
