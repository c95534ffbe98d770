# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parsing of what the launch script reports, and of what a hostile guest sends instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import ExitReport


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"/dev/shm 0 .\n", ("/dev/shm", ExitReport(0, ()))),
        (b"/tmp 255 oe.\n", ("/tmp", ExitReport(255, ("out", "err")))),
        (b"/run 1 e.\n", ("/run", ExitReport(1, ("err",)))),
        (b"/run 0 O.\n", ("/run", ExitReport(0, (), ("out",)))),
        (b"/run 0 oE.\n", ("/run", ExitReport(0, ("out",), ("err",)))),
        (b"/run 0 OE.\n", ("/run", ExitReport(0, (), ("out", "err")))),
        (b"/run 0 oO.\n", None),
        (b"", None),
        (b"/tmp 0 .", None),
        (b"/tmp 0 .\n\n", None),
        (b" /tmp 0 .\n", None),
        (b"noise\n/tmp 0 .\n", None),
        (b"/tmp 1000 .\n", None),
        (b"/tmp -1 .\n", None),
        (b"/tmp 0 eo.\n", None),
        (b"/tmp/../etc 0 o.\n", None),
        (b"tmp 0 .\n", None),
        ("/tmp \u0661 .\n".encode(), None),
        (b"/tmp 0 o.\0\n", None),
        (b"/tmp 0 o.\r\n", None),
        (b"user root\n", None),
    ],
)
def test_parses_exit_report(text: bytes, expected: tuple[str, ExitReport] | None) -> None:
    assert launch_script.parse_exit_report(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"17\n", (17, None)),
        (b"17\n0 oe.\n", (17, ExitReport(0, ("out", "err")))),
        (b"17\n0 Oe.\n", (17, ExitReport(0, ("err",), ("out",)))),
        (b"17\n0 oe", None),
        (b"", None),
        (b"17", None),
        (b"\n", None),
        (b"-17\n", None),
        (b"17\n17\n", None),
        (b"17\n0 .\n17\n", None),
        (b"17\n1000 .\n", None),
        (b"99999999999\n", None),
        (b"1e3\n", None),
        (b"17\n0 x.\n", None),
    ],
)
def test_parses_state_file(text: bytes, expected: tuple[int, ExitReport | None] | None) -> None:
    assert launch_script.parse_state(text) == expected


def test_parses_wrong_user() -> None:
    assert launch_script.parse_wrong_user(b"user qemu-ga\n") == "qemu-ga"
    assert launch_script.parse_wrong_user(b"user \xff\n") == "\ufffd"
    for text in (b"", b"user root", b"user a\nb\n", b"root\n"):
        assert launch_script.parse_wrong_user(text) is None


@given(st.one_of(st.binary(), st.text("/tmp 0123oe.\nuser").map(str.encode)))
def test_parsers_accept_any_bytes(text: bytes) -> None:
    for parse in (launch_script.parse_exit_report, launch_script.parse_state, launch_script.parse_wrong_user):
        parse(text)
