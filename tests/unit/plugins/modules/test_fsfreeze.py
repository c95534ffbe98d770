# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module fsfreeze, against a scripted agent and with real guards."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import signal
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.record import FreezeRecord, RecordFile
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply

from ..module_utils._libvirt.hypervisor import Failure, Hypervisor
from .conftest import TEST_TIMEOUT, Clock, RunModule, comes, gone, silence_of
from .freezable_guest import FreezableGuest


@pytest.fixture(name="guest")
def fixture_guest() -> FreezableGuest:
    return FreezableGuest()


def test_freezes_and_thaws_once(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen")
    assert freeze["changed"] and freeze["status"] == "frozen" and freeze["frozen"] == 3
    assert freeze["diff"] == {"before": {"status": "thawed"}, "after": {"status": "frozen"}}
    assert freeze["mountpoints"] == [] and freeze["frozen_at"].endswith("Z") and "guard" not in freeze
    again = run_module("fsfreeze", guest, state="frozen")
    assert not again["changed"] and again["frozen"] == 3 and "warnings" not in again
    thaw = run_module("fsfreeze", guest, state="thawed")
    assert thaw["changed"] and thaw["status"] == "thawed" and thaw["frozen"] == thaw["thawed"] == 3
    assert thaw["consistent"] and "warnings" not in thaw
    assert thaw["diff"] == {"before": {"status": "frozen"}, "after": {"status": "thawed"}}
    again = run_module("fsfreeze", guest, state="thawed")
    assert not again["changed"] and again["thawed"] == 0 and "consistent" not in again and "warnings" not in again
    assert guest.changing_commands() == ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]


@pytest.mark.parametrize("state", ["frozen", "thawed"])
@pytest.mark.parametrize("frozen", [False, True])
def test_check_mode_changes_nothing(run_module: RunModule, guest: FreezableGuest, state: str, frozen: bool) -> None:
    guest.frozen = frozen
    result = run_module("fsfreeze", guest, check_mode=True, state=state)
    assert result["changed"] == (state != ("frozen" if frozen else "thawed"))
    assert result["status"] == state
    assert guest.changing_commands() == [] and guest.frozen == frozen


def test_freezes_named_mountpoints(run_module: RunModule, guest: FreezableGuest) -> None:
    result = run_module("fsfreeze", guest, state="frozen", mountpoints=["/", "/srv"])
    assert result["frozen"] == 2 and result["mountpoints"] == ["/", "/srv"] and "warnings" not in result
    assert guest.requests[-1]["arguments"] == {"mountpoints": ["/", "/srv"]}


def test_warns_if_not_all_mountpoints_were_frozen(run_module: RunModule, guest: FreezableGuest) -> None:
    result = run_module("fsfreeze", guest, state="frozen", mountpoints=["/", "/swap"])
    assert result["changed"] and result["warnings"] == ["Only 1 of the 2 mountpoints were frozen."]


@pytest.mark.parametrize("options", [{"mountpoints": ["/nowhere"]}, {}])
def test_fails_if_nothing_was_frozen(run_module: RunModule, guest: FreezableGuest, options: dict[str, t.Any]) -> None:
    guest.handlers["guest-fsfreeze-freeze"] = lambda arguments: guest.freeze(0)
    result = run_module("fsfreeze", guest, state="frozen", max_frozen=60, **options)
    assert result["failed"] and result["error"] == "nothing_frozen" and result["status"] == "thawed"
    assert not guest.frozen
    assert not run_module("fsfreeze", guest, state="thawed").get("warnings")


def test_thaws_if_agent_counts_nothing_but_reports_frozen(run_module: RunModule, guest: FreezableGuest) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.frozen = True
        return 0

    guest.handlers["guest-fsfreeze-freeze-list"] = freeze
    assert run_module("fsfreeze", guest, state="frozen", mountpoints=["/"])["error"] == "nothing_frozen"
    assert not guest.frozen


@pytest.mark.parametrize(
    "options",
    [
        {"state": "thawed", "mountpoints": ["/"]},
        {"state": "thawed", "max_frozen": 5},
        {"state": "frozen", "mountpoints": []},
        {"state": "frozen", "mountpoints": ["/", ""]},
        {"state": "frozen", "max_frozen": 0},
        {"state": "frozen", "max_frozen": "nan"},
        {"state": "frozen", "max_frozen": 1e12},
    ],
)
def test_rejects_invalid_options(run_module: RunModule, guest: FreezableGuest, options: dict[str, t.Any]) -> None:
    result = run_module("fsfreeze", guest, **options)
    assert result["failed"] and result["error"] == "invalid_request"
    assert guest.requests == []


def test_thaws_a_freeze_by_another_tool(run_module: RunModule, guest: FreezableGuest) -> None:
    guest.freeze(2)
    result = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert not result["changed"] and "no guard was started" in result["warnings"][0]
    result = run_module("fsfreeze", guest, state="thawed")
    assert result["changed"] and result["thawed"] == 2 and "consistent" not in result


def test_warns_if_thaw_count_differs_from_freeze_count(run_module: RunModule, guest: FreezableGuest) -> None:
    run_module("fsfreeze", guest, state="frozen")
    guest.count = 1
    result = run_module("fsfreeze", guest, state="thawed")
    assert result["thawed"] == 1 and result["frozen"] == 3 and not result["consistent"]
    assert "differs from the number frozen" in result["warnings"][0]


def test_reports_thaw_by_another_tool_once(run_module: RunModule, guest: FreezableGuest) -> None:
    run_module("fsfreeze", guest, state="frozen")
    guest.thaw()
    assert run_module("fsfreeze_info", guest)["thawed_by"] == "others"
    result = run_module("fsfreeze", guest, state="thawed")
    assert not result["changed"] and result["thawed_by"] == "others" and not result["consistent"]
    assert "had been thawed before" in result["warnings"][0]
    assert "thawed_by" not in run_module("fsfreeze", guest, state="thawed")


def test_thaws_despite_broken_record(run_module: RunModule, guest: FreezableGuest, tmp_path: pathlib.Path) -> None:
    run_module("fsfreeze", guest, state="frozen")
    (record,) = tmp_path.glob("netless-qga-*/*.freeze")
    record.write_text("{")
    assert run_module("fsfreeze_info", guest)["status"] == "frozen"
    assert run_module("fsfreeze", guest, state="thawed")["changed"]


# Answers of the agent


def test_thaw_error_is_a_warning_if_guest_is_thawed(run_module: RunModule, guest: FreezableGuest) -> None:
    def thaw(arguments: t.Any) -> int:
        guest.frozen = False
        raise ErrorReply("fsfreeze is limited up to 10 seconds")

    guest.handlers["guest-fsfreeze-thaw"] = thaw
    run_module("fsfreeze", guest, state="frozen")
    result = run_module("fsfreeze", guest, state="thawed")
    assert "failed" not in result and result["changed"] and not result["consistent"] and "thawed" not in result
    assert "10 seconds" in result["warnings"][0]


def test_thaw_error_fails_if_guest_stays_frozen(run_module: RunModule, guest: FreezableGuest, clock: Clock) -> None:
    clock.skips_sleep = True

    def thaw(arguments: t.Any) -> int:
        raise ErrorReply("cannot read the mount table")

    guest.freeze(3)
    guest.handlers["guest-fsfreeze-thaw"] = thaw
    result = run_module("fsfreeze", guest, state="thawed")
    assert result["failed"] and result["error"] == "agent_refused" and "still frozen" in result["msg"]
    assert guest.changing_commands().count("guest-fsfreeze-thaw") > 1


def test_thaw_success_fails_if_guest_stays_frozen(run_module: RunModule, guest: FreezableGuest, clock: Clock) -> None:
    clock.skips_sleep = True
    guest.freeze(3)
    guest.handlers["guest-fsfreeze-thaw"] = lambda arguments: 3
    result = run_module("fsfreeze", guest, state="thawed")
    assert result["failed"] and result["error"] == "still_frozen" and result["status"] == "frozen"


def test_repeats_thaw_after_lost_answer(run_module: RunModule, guest: FreezableGuest) -> None:
    guest.lose_answers_to("guest-fsfreeze-thaw")
    run_module("fsfreeze", guest, state="frozen")
    result = run_module("fsfreeze", guest, state="thawed")
    assert "failed" not in result and result["changed"] and "thawed" not in result


def test_freeze_error_fails(run_module: RunModule, guest: FreezableGuest) -> None:
    def freeze(arguments: t.Any) -> int:
        raise ErrorReply("fsfreeze hook has failed with status 1")

    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert result["failed"] and result["error"] == "agent_refused" and "hook" in result["msg"]
    assert guest.changing_commands() == ["guest-fsfreeze-freeze"]


def test_thaws_what_a_failed_freeze_left_frozen(run_module: RunModule, guest: FreezableGuest) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.freeze(1)
        raise ErrorReply("failed to freeze /srv")

    guest.handlers["guest-fsfreeze-freeze"] = freeze
    assert run_module("fsfreeze", guest, state="frozen")["failed"]
    assert not guest.frozen


def test_keeps_concurrent_freeze_by_another_tool(run_module: RunModule, guest: FreezableGuest) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.freeze(1)
        raise ErrorReply("Command guest-fsfreeze-freeze has been disabled", "CommandNotFound")

    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("fsfreeze", guest, state="frozen")
    assert result["failed"] and result["error"] == "filesystems_frozen" and guest.frozen


def test_keeps_concurrent_freeze_through_libvirt_without_error_class(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def freeze(mountpoints: t.Any, flags: int) -> t.NoReturn:
        statuses.append("frozen")
        raise Failure(1, "unable to execute QEMU agent command 'guest-fsfreeze-freeze': Command has been disabled")

    statuses = ["thawed"]
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    enabled = {"guest-fsfreeze-freeze": False, "guest-fsfreeze-status": True, "guest-fsfreeze-thaw": True}
    hypervisor.serve(
        guest_info={
            "version": "7.2.22",
            "supported_commands": [
                {"name": name, "enabled": is_enabled, "success-response": True} for name, is_enabled in enabled.items()
            ],
        },
        guest_fsfreeze_status=lambda arguments: statuses[-1],
    )
    hypervisor.own["fsFreeze"] = freeze
    result = run_module("fsfreeze", "libvirt", domain="db1", state="frozen")
    assert result["failed"] and result["error"] == "filesystems_frozen"
    assert "fsThaw" not in [call[0] for call in hypervisor.native_calls]


@pytest.mark.parametrize("is_frozen", [True, False])
def test_undoes_freeze_after_lost_answer(run_module: RunModule, guest: FreezableGuest, is_frozen: bool) -> None:
    guest.handlers["guest-fsfreeze-freeze"] = lambda arguments: guest.freeze(3 * is_frozen)
    guest.lose_answers_to("guest-fsfreeze-freeze")
    result = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert result["failed"] and result["error"] == "outcome_unknown" and result["status"] == "thawed"
    assert result["thawed_again"] == is_frozen and not guest.frozen


def test_undoes_freeze_after_answer_of_wrong_type(run_module: RunModule, guest: FreezableGuest) -> None:
    def freeze(arguments: t.Any) -> t.Any:
        guest.freeze(3)
        return "three"

    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("fsfreeze", guest, state="frozen")
    assert result["error"] == "protocol_violation" and result["thawed_again"] and not guest.frozen


def test_unknown_outcome_fails_with_advice_to_thaw(run_module: RunModule, guest: FreezableGuest, clock: Clock) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.gone = True
        return 0

    clock.skips_sleep = True
    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("fsfreeze", guest, state="frozen")
    clock.skips_sleep = False
    assert result["failed"] and result["error"] == "outcome_unknown" and result["status"] == "unknown"
    assert "may be frozen" in result["msg"] and "virsh domfsthaw" in result["msg"]
    guest.gone = False
    result = run_module("fsfreeze", guest, state="thawed")
    assert not result["changed"] and "consistent" not in result and "warnings" not in result


def test_guard_thaws_after_unknown_outcome(run_module: RunModule, guest: FreezableGuest, clock: Clock) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.gone = True
        return guest.freeze(3)

    clock.skips_sleep = True
    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("fsfreeze", guest, state="frozen", max_frozen=10)
    assert result["status"] == "unknown" and guest.frozen
    guest.gone = False
    assert comes(lambda: not guest.frozen)


def test_undoes_freeze_that_comes_after_timeout(run_module: RunModule, guest: FreezableGuest) -> None:
    def freeze(arguments: t.Any) -> int:
        time.sleep(2)
        return guest.freeze(3)

    guest.handlers["guest-fsfreeze-freeze"] = freeze
    result = run_module("fsfreeze", guest, state="frozen", silence=0.5)
    assert result["error"] == "outcome_unknown" and result["thawed_again"] and not guest.frozen


def test_guard_waits_for_freeze_that_comes_after_unknown_outcome(
    run_module: RunModule, guest: FreezableGuest, clock: Clock
) -> None:
    def freeze(arguments: t.Any) -> int:
        guest.gone = True
        return 0

    clock.skips_sleep = True
    guest.handlers["guest-fsfreeze-freeze"] = freeze
    assert run_module("fsfreeze", guest, state="frozen", max_frozen=10)["status"] == "unknown"
    requests_before = len(guest.requests)
    guest.gone = False
    assert comes(
        lambda: "guest-fsfreeze-status" in [request["execute"] for request in guest.requests[requests_before:]]
    )
    guest.freeze(3)
    assert comes(lambda: not guest.frozen)


def test_thaw_waits_for_agent_if_freeze_is_known(run_module: RunModule, guest: FreezableGuest, clock: Clock) -> None:
    def sleep(seconds: float) -> None:
        slept.append(seconds)
        guest.gone = len(slept) < 3

    slept: list[float] = []
    run_module("fsfreeze", guest, state="frozen")
    guest.gone = True
    clock.sleep = sleep  # type: ignore[method-assign]
    result = run_module("fsfreeze", guest, state="thawed")
    assert result["changed"] and result["consistent"] and len(slept) >= 3


def test_thaw_does_not_wait_for_agent_if_no_freeze_is_known(
    run_module: RunModule, guest: FreezableGuest, clock: Clock
) -> None:
    guest.gone = True
    started = clock.monotonic()
    clock.skips_sleep = True
    assert run_module("fsfreeze", guest, state="thawed")["error"] == "channel_closed"
    assert clock.monotonic() - started < 2 * TEST_TIMEOUT


@pytest.mark.parametrize("state", ["frozen", "thawed"])
@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("hangs_up", "outcome_unknown"),
        ("wrong_types", "protocol_violation"),
        ("silence", "agent_silent"),
    ],
)
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str, state: str) -> None:
    guest = FreezableGuest(profile)
    result = run_module("fsfreeze", guest, state=state, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error and guest.changing_commands() == []


def test_missing_and_disabled_commands_fail(run_module: RunModule, guest: FreezableGuest) -> None:
    del guest.handlers["guest-fsfreeze-freeze"]
    assert run_module("fsfreeze", guest, state="frozen")["error"] == "command_missing"
    guest.disabled.add("guest-fsfreeze-freeze-list")
    assert run_module("fsfreeze", guest, state="frozen", mountpoints=["/"])["error"] == "command_disabled"


def test_missing_socket_fails(run_module: RunModule, tmp_path: pathlib.Path) -> None:
    result = run_module("fsfreeze", f"unix:{tmp_path}/nothing", state="frozen")
    assert result["failed"] and result["error"] == "endpoint_unavailable"


# The guard


def test_guard_thaws_when_max_frozen_is_over(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=0.3)
    assert freeze["guard"]["thaws_at"].endswith("Z")
    assert gone(freeze["guard"]["pid"]) and not guest.frozen
    assert run_module("fsfreeze_info", guest)["thawed_by"] == "guard"
    thaw = run_module("fsfreeze", guest, state="thawed")
    assert not thaw["changed"] and thaw["thawed_by"] == "guard" and not thaw["consistent"]


def test_guard_ignores_sighup_and_thaws_at_once_on_sigterm(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=600)
    os.kill(freeze["guard"]["pid"], signal.SIGHUP)
    os.kill(freeze["guard"]["pid"], signal.SIGTERM)
    assert gone(freeze["guard"]["pid"]) and not guest.frozen


def test_guard_ends_after_thaw_and_keeps_later_freeze(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=10)
    again = run_module("fsfreeze", guest, state="frozen", max_frozen=5)
    assert again["guard"] == freeze["guard"] and "warnings" not in again
    again = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert again["guard"] == freeze["guard"] and "its guard thaws it in" in again["warnings"][0]
    run_module("fsfreeze", guest, state="thawed")
    guest.freeze(1)
    assert gone(freeze["guard"]["pid"]) and guest.frozen


def test_killed_guard_is_not_returned(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    os.kill(freeze["guard"]["pid"], signal.SIGKILL)
    assert gone(freeze["guard"]["pid"])
    again = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert "guard" not in again and "no guard was started" in again["warnings"][0]


def test_guard_ends_after_another_freeze(run_module: RunModule, guest: FreezableGuest) -> None:
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=10)
    guest.thaw()
    run_module("fsfreeze", guest, state="frozen")
    assert gone(freeze["guard"]["pid"]) and guest.frozen


def test_guard_thaws_without_record(
    run_module: RunModule, guest: FreezableGuest, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Lose the record as systemd-logind does it: it removes the directory when the last session ends."""
    (tmp_path / "session").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    freeze = run_module("fsfreeze", guest, state="frozen", max_frozen=1.5)
    shutil.rmtree(tmp_path / "session")
    assert gone(freeze["guard"]["pid"]) and not guest.frozen


def test_does_not_freeze_if_guard_does_not_start(
    run_module: RunModule, guest: FreezableGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    result = run_module("fsfreeze", guest, state="frozen", max_frozen=60)
    assert result["failed"] and result["error"] == "guard_not_started" and guest.changing_commands() == []


def test_record_is_private_and_ignores_invalid_content(tmp_path: pathlib.Path) -> None:
    file, record = RecordFile("unix:/x"), FreezeRecord("token", ["/"], 1.5, 7, 2.5, 1)
    assert file.read() is None
    file.write(record)
    assert file.read() == record and RecordFile("unix:/y").read() is None
    file.write(dataclasses.replace(record, thawed_by="guard"))
    (path,) = tmp_path.glob("netless-qga-*/*")
    assert path.stat().st_mode & 0o777 == 0o600
    for text in ("", "[]", "null", '{"token": 1}', '{"token": "x", "mountpoints": 1}', '{"more": 1}', "[" * 100_000):
        path.write_text(text)
        assert file.read() is None
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert file.read() is None
