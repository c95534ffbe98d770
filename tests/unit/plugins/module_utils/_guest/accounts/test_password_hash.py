# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hashes of passwords, with the crypt(3) of this machine if it has one."""

from __future__ import annotations

import time

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts import password_hash

PASSWORD = 'it\'s a "password" 汉语'

# By the methods of Debian's, Fedora's and SUSE's, old and new.
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
def test_whose_hash_it_is(known: str) -> None:
    assert password_hash.is_hash(known)
    # glibc's own does not know all of them.
    assert password_hash.is_hash_of(known, PASSWORD) is not False
    assert not password_hash.is_hash_of(known, f"{PASSWORD}.")


@needs_crypt
def test_a_method_that_every_library_knows() -> None:
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
def test_what_is_no_hash_or_would_take_too_long(known: str) -> None:
    started = time.monotonic()
    assert password_hash.is_hash_of(known, PASSWORD) is None
    assert time.monotonic() - started < 1


def test_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_hash, "_LIBRARIES", ("libnone.so.0",))
    assert password_hash.is_hash_of(HASHES[0], PASSWORD) is None


def test_a_library_that_does_not_know_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    for said in (None, b"*0"):
        monkeypatch.setattr(password_hash, "_find_crypt", lambda said=said: lambda password, setting: said)
        assert password_hash.is_hash_of(HASHES[0], PASSWORD) is None
