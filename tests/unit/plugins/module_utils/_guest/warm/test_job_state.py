# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State files of jobs, cut at every position: nothing is read out of them too early, and nothing of another job."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_state import (
    JobState,
    parse_job_state,
    withdrawal,
)

NONCE = "0123456789abcdef"
CLAIM = f"claimed 65536 {NONCE}\n".encode()
COMPLETE = CLAIM + b"pid 42\nexit 3 5 4\n" + b"pid 1" + b"exit"


@pytest.mark.parametrize("length", range(len(COMPLETE)))
def test_beginning_of_a_file_has_no_end_of_the_job(length: int) -> None:
    state = parse_job_state(COMPLETE[:length], NONCE)
    assert state.claimed is (True if length >= len(CLAIM) else None)
    assert state.pid == (42 if length >= len(CLAIM) + len(b"pid 42\n") else None)
    assert state.output is None


def test_complete_file() -> None:
    state = parse_job_state(COMPLETE, NONCE)
    assert state == JobState(True, "", 65536, 42, 3, (5, 4), (b"pid 1", b"exit"))


@pytest.mark.parametrize("word", ["stale", "incomplete", "withdrawn"])
def test_job_that_does_not_run(word: str) -> None:
    state = parse_job_state(f"{word} {NONCE}\n".encode() + COMPLETE, NONCE)
    assert (state.claimed, state.reason) == (False, word)


def test_job_of_another_nonce_does_not_run() -> None:
    assert parse_job_state(COMPLETE, "fedcba").claimed is False


@pytest.mark.parametrize("before", [b"pid", b"exit"])
def test_withdrawal_that_came_too_late_changes_nothing(before: bytes) -> None:
    position = COMPLETE.index(before)
    text = COMPLETE[:position] + withdrawal(NONCE) + COMPLETE[position:]
    assert parse_job_state(text, NONCE) == parse_job_state(COMPLETE, NONCE)


def test_output_that_is_too_large_is_not_in_the_file() -> None:
    state = parse_job_state(CLAIM + b"pid 42\nexit 0 16384 1\n", NONCE)
    assert not state.has_inline_output and state.output is None and state.rc == 0


@pytest.mark.parametrize("pid", [b"0", b"1", b"-1", b"01", b"2;id"])
def test_pid_that_stands_for_other_processes_is_none(pid: bytes) -> None:
    state = parse_job_state(CLAIM + b"pid " + pid + b"\nexit 0 0 0\n", NONCE)
    assert state.pid is None and state.rc is None


@pytest.mark.parametrize("text", [b"nonsense\n", b"claimed\n", b"\xff" * 100, b"pid 1\nexit 0 0 0\n"])
def test_nonsense_decides_nothing(text: bytes) -> None:
    assert parse_job_state(text, NONCE) == JobState()
