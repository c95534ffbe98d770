# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finding public keys in lines."""

from __future__ import annotations

import base64
import struct
import time

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.public_keys import key_lines, key_of


def public_key(kind: str) -> str:
    """Return what looks like a key of a type. ssh would not accept it."""
    blob = struct.pack(">I", len(kind)) + kind.encode() + struct.pack(">I", 4) + b"\0\1\2\3"
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize(
    "kind",
    [
        "ssh-rsa",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "sk-ssh-ed25519@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com",
        "of-tomorrow@example.org",
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "{} a comment",
        "{}   ssh-rsa AAAA",
        "no-pty {} comment",
        'command="echo \\"a b\\" # ssh-rsa",from="10.0.0.1, 10.0.0.2"  {}\tcomment',
        'environment="A=b c" {}',
    ],
)
def test_finds_key_in_line(kind: str, line: str) -> None:
    assert key_of(line.format(public_key(kind))) == public_key(kind)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-rsa",
        "ssh-rsa not-base64!",
        "ssh-ed25519 " + public_key("ssh-rsa").split()[1],
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "no-pty no-agent-forwarding " + public_key("ssh-rsa"),
        'command="unfinished ' + public_key("ssh-rsa"),
        "\ud800 \ud800",
    ],
)
def test_line_without_key(line: str) -> None:
    assert key_of(line) is None


@pytest.mark.parametrize(
    "line",
    ['"' * 500_001, 'a"\\' * 300_000, "a " * 400_000, '"a' * 300_001],
    ids=["quotes", "escapes", "fields", "quoted"],
)
def test_hostile_lines_are_read_quickly(line: str) -> None:
    started = time.thread_time()
    assert key_of(line) is None
    assert time.thread_time() - started < 5


def test_key_lines_skip_comments_and_empty_lines() -> None:
    assert key_lines(["a\r\n\n # b\n c ", "", "d"]) == ["a", "c", "d"]
