# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of powering guests down, halting and rebooting them, on a socket and through libvirt."""

from __future__ import annotations

import base64
import contextlib
import errno
import socket
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.power import guest_monitor, shutdown
from ansible_collections.netless.qga.plugins.module_utils._transports import stream_socket
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ErrorReply, ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    OFF,
    PAUSED,
    RUNNING,
    SUSPENDED,
    Failure,
    Hypervisor,
)

from .conftest import TEST_TIMEOUT, Clock, RunModule, silence_of

BOOT_IDS = ("31557823-47ef-4b6c-a865-49271a1e7aff", "6d9a0a5e-8b0c-4a8a-9c5e-0d8b6c0f0a11")


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts: the guests of these tests go down at once."""
    monkeypatch.setattr(shutdown, "ERROR_TIMEOUT", 0.1)
    monkeypatch.setattr(guest_monitor, "_POLL_INTERVAL", 0.02)
    monkeypatch.setattr(guest_monitor, "_MIN_ERROR_TIMEOUT", 0.1)


@pytest.fixture
def quick_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make short silence count, for agents that fall silent at once and never answer slowly.

    An agent that is back and does not answer in time is asked again.
    """
    monkeypatch.setattr(shutdown, "SILENCE_TIMEOUT", 0.3)
    monkeypatch.setattr(guest_monitor, "_MAX_POLL_TIMEOUT", 0.2)


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    """Return a hypervisor whose guest has an agent and powers down when asked to."""
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    hypervisor.serve(guest_shutdown={}, guest_fsfreeze_status="thawed")
    hypervisor.own["shutdownFlags"] = lambda flags: setattr(hypervisor, "power", OFF)
    return hypervisor


def commands(agent: ScriptedAgent) -> list[str]:
    return [request["execute"] for request in agent.requests if not request["execute"].startswith("guest-sync")]


class Guest(ScriptedAgent):
    """An agent of a guest that calls ``on_shutdown`` when it is asked to shut down."""

    def __init__(self, *profiles: str) -> None:
        super().__init__(*profiles)
        self.mode: str | None = None
        self.asked = threading.Event()
        self.boots = 0
        self._missed: list[t.Any] | None = None
        self.on_shutdown: t.Callable[[], None] = lambda: None
        self.handlers["guest-shutdown"] = self._shut_down
        for command in ("guest-sync", "guest-sync-delimited"):
            self.handlers[command] = self._sync

    def _shut_down(self, arguments: dict[str, t.Any]) -> object:
        self.mode = arguments["mode"]
        self.asked.set()
        self.on_shutdown()
        return NO_REPLY

    def fall_silent(self) -> None:
        self.silent = True

    def reboot(self) -> None:
        """Come back once the absence was noticed: one sync was not answered, and another one arrives."""
        self.fall_silent()
        self._missed = []

    def _sync(self, arguments: dict[str, t.Any]) -> t.Any:
        if self._missed:
            self._missed = None
            self.boots += 1
            self.silent = False
        elif self._missed is not None:
            self._missed.append(arguments["id"])
        return arguments["id"]

    def serve_boot_ids(self) -> None:
        self.handlers["guest-file-open"] = lambda arguments: 1000
        self.handlers["guest-file-close"] = lambda arguments: {}
        self.handlers["guest-file-read"] = lambda arguments: self._read()

    def _read(self) -> dict[str, t.Any]:
        content = BOOT_IDS[self.boots].encode() + b"\n"
        return {"count": len(content), "buf-b64": base64.b64encode(content).decode(), "eof": True}

    def serve_ticks(self, *ticks: int) -> None:
        self.handlers["guest-get-cpustats"] = lambda arguments: [
            {"type": "linux", "cpu": 0, "user": 1, "nice": 0, "system": 1, "idle": ticks[self.boots], "iowait": 9}
        ]


def run_on_ending_qemu(run_module: RunModule, guest: Guest, **options: t.Any) -> dict[str, t.Any]:
    """Run the module on a guest whose QEMU ends when the guest shuts down."""
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(guest.listening())
        # Use another thread, as closing waits for the agent's own thread to end.
        guest.on_shutdown = threading.Thread(target=stack.close).start
        return run_module("shutdown", f"unix:{path}", **options)


@pytest.mark.parametrize("mode", ["powerdown", "halt"])
def test_channel_closes_when_qemu_ends(run_module: RunModule, mode: str) -> None:
    guest = Guest()
    result = run_on_ending_qemu(run_module, guest, mode=mode)
    assert result["changed"] and result["evidence"] == "channel_closed" and result["state"] == "off"
    assert result["diff"] == {"before": {"state": "running"}, "after": {"state": "off"}}
    assert result["mode"] == guest.mode == mode and not result["fallback_used"] and 0 < result["elapsed"] < 20
    assert "warnings" not in result


@pytest.mark.usefixtures("quick_silence")
@pytest.mark.parametrize(("mode", "state"), [("powerdown", "off"), ("halt", "halted")])
def test_agent_falls_silent_on_open_channel(run_module: RunModule, mode: str, state: str) -> None:
    guest = Guest()
    guest.on_shutdown = guest.fall_silent
    result = run_module("shutdown", guest, mode=mode, wait_timeout=60)
    assert result["changed"] and result["evidence"] == "agent_gone" and result["state"] == state


@pytest.mark.usefixtures("quick_silence")
def test_reboot_is_seen_by_boot_id(run_module: RunModule) -> None:
    guest = Guest()
    guest.serve_boot_ids()
    guest.on_shutdown = guest.reboot
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["changed"] and result["evidence"] == "new_boot_id" and result["state"] == "running"
    assert (result["boot_id_before"], result["boot_id_after"]) == BOOT_IDS
    assert result["diff"]["after"] == {"state": "running", "boot": BOOT_IDS[1]}
    assert guest.mode == "reboot" and commands(guest).count("guest-shutdown") == 1


@pytest.mark.usefixtures("quick_silence")
@pytest.mark.parametrize(
    ("ticks", "evidence"), [((90000, 20), "uptime_reset"), ((20, 20), "agent_returned"), ((), "agent_returned")]
)
def test_reboot_is_seen_without_reading_files(run_module: RunModule, ticks: tuple[int, ...], evidence: str) -> None:
    guest = Guest("blocked")
    if ticks:
        guest.serve_ticks(*ticks)
    guest.on_shutdown = guest.reboot
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["changed"] and result["evidence"] == evidence
    assert "boot_id_before" not in result and "boot_id_after" not in result
    assert result["diff"]["before"]["boot"] != result["diff"]["after"]["boot"]


@pytest.mark.parametrize("mode", ["powerdown", "halt", "reboot"])
@pytest.mark.parametrize("profiles", [(), ("blocked",)])
def test_guest_that_does_nothing_is_outcome_unknown(
    run_module: RunModule, mode: str, profiles: tuple[str, ...]
) -> None:
    guest = Guest(*profiles)
    guest.serve_boot_ids()
    for name in profiles and ("guest-file-open", "guest-file-read", "guest-file-close"):
        guest.disabled.add(name)
    guest.serve_ticks(500)
    result = run_module("shutdown", guest, mode=mode, wait_timeout=0.3)
    assert result["failed"] and result["error"] == "outcome_unknown" and "evidence" not in result
    assert "the agent still answers" in result["msg"] and "unix:" in result["msg"]
    assert result["mode"] == mode and commands(guest).count("guest-shutdown") == 1


def test_without_waiting(run_module: RunModule) -> None:
    guest = Guest()
    result = run_module("shutdown", guest, wait=False)
    assert result["changed"] and result["evidence"] == "no_error" and "state" not in result
    assert result["elapsed"] < 20 and guest.asked.wait(TEST_TIMEOUT) and guest.mode == "powerdown"


@pytest.mark.parametrize("wait", [True, False])
def test_error_of_agent_fails_task(run_module: RunModule, monkeypatch: pytest.MonkeyPatch, wait: bool) -> None:
    monkeypatch.setattr(shutdown, "ERROR_TIMEOUT", TEST_TIMEOUT)
    guest = Guest()

    def refuse(arguments: dict[str, t.Any]) -> t.NoReturn:
        raise ErrorReply("child process has failed to shutdown")

    guest.handlers["guest-shutdown"] = refuse
    result = run_module("shutdown", guest, wait=wait)
    assert result["failed"] and result["error"] == "agent_refused"
    assert "guest-shutdown: child process has failed to shutdown" in result["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("mode", ["powerdown", "reboot"])
def test_unavailable_command_is_not_sent(run_module: RunModule, check_mode: bool, mode: str) -> None:
    frozen, missing, blocked = Guest("frozen"), Guest(), Guest()
    del missing.handlers["guest-shutdown"]
    blocked.disabled.add("guest-shutdown")
    for guest, error in ((frozen, "filesystems_frozen"), (missing, "command_missing"), (blocked, "command_disabled")):
        result = run_module("shutdown", guest, mode=mode, check_mode=check_mode)
        assert result["failed"] and result["error"] == error and "guest-shutdown" in result["msg"]
        assert "guest-shutdown" not in commands(guest)


@pytest.mark.parametrize(
    ("profile", "error"),
    [("never", "outcome_unknown"), ("garbage", "protocol_violation"), ("wrong_types", "protocol_violation")],
)
@pytest.mark.parametrize("mode", ["powerdown", "reboot"])
def test_broken_agent_is_not_asked_to_shut_down(run_module: RunModule, profile: str, error: str, mode: str) -> None:
    guest = Guest(profile)
    result = run_module("shutdown", guest, mode=mode, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error
    assert "guest-shutdown" not in commands(guest)


@pytest.mark.usefixtures("quick_silence")
@pytest.mark.parametrize(
    "content", [b"", b"no boot id\n", b"31557823-47EF-4b6c-a865-49271a1e7aff", b"\xff" * 36, b"a" * 60]
)
def test_malformed_boot_id_is_ignored(run_module: RunModule, content: bytes) -> None:
    guest = Guest()
    guest.serve_boot_ids()
    guest.handlers["guest-file-read"] = lambda arguments: {
        "count": len(content),
        "buf-b64": base64.b64encode(content).decode(),
        "eof": True,
    }
    guest.on_shutdown = guest.reboot
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["evidence"] == "agent_returned" and "boot_id_before" not in result


def test_malformed_ticks_are_a_protocol_violation(run_module: RunModule) -> None:
    guest = Guest("blocked")
    guest.handlers["guest-get-cpustats"] = lambda arguments: [{"type": "of another kind", "idle": "joke"}]
    result = run_module("shutdown", guest, mode="reboot")
    assert result["error"] == "protocol_violation" and "guest-shutdown" not in commands(guest)


@pytest.mark.usefixtures("quick_silence")
@pytest.mark.parametrize("kind", ["refused", "none"])
def test_reboot_is_seen_without_ticks(run_module: RunModule, kind: str) -> None:
    guest = Guest("blocked")

    def count(arguments: dict[str, t.Any]) -> list[t.Any]:
        if kind == "refused":
            raise ErrorReply("failed to open /proc/stat")
        return []

    guest.handlers["guest-get-cpustats"] = count
    guest.on_shutdown = guest.reboot
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["evidence"] == "agent_returned"


def test_qmp_monitor_is_not_an_agent(run_module: RunModule) -> None:
    """The module looks at the answers to its sync before it sends anything else."""
    guest = Guest()
    guest.greeting = b'{"QMP": {"version": {}, "capabilities": []}}\n'
    result = run_module("shutdown", guest)
    assert result["error"] == "protocol_violation" and "guest-shutdown" not in commands(guest)


def test_silent_agent_is_an_error(run_module: RunModule) -> None:
    result = run_module("shutdown", Guest("silence"), silence=0.2)
    assert result["failed"] and result["error"] == "agent_silent"


# Guests that are off already


def test_left_behind_socket_means_off(run_module: RunModule, tmp_path: t.Any) -> None:
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    result = run_module("shutdown", f"unix:{path}")
    assert not result["changed"] and result["state"] == "off" and result["evidence"] == "channel_closed"
    assert result["diff"]["before"] == result["diff"]["after"] == {"state": "off"}
    assert run_module("shutdown", f"unix:{path}", mode="reboot")["error"] == "endpoint_unavailable"


def test_missing_socket_is_an_error(run_module: RunModule, tmp_path: t.Any) -> None:
    endpoint = f"unix:{tmp_path}/agent.sock"
    for options in ({}, {"mode": "reboot", "assume_off": True}, {"mode": "halt"}):
        result = run_module("shutdown", endpoint, **options)
        assert result["failed"] and result["error"] == "endpoint_unavailable" and endpoint in result["msg"]


@pytest.mark.parametrize("mode", ["powerdown", "halt"])
@pytest.mark.parametrize("endpoint", ["unix:{}/agent.sock", "tcp:127.0.0.1:9"])
def test_missing_endpoint_means_off_with_assume_off(
    run_module: RunModule, tmp_path: t.Any, endpoint: str, mode: str
) -> None:
    result = run_module("shutdown", endpoint.format(tmp_path), mode=mode, assume_off=True)
    assert not result["changed"] and result["state"] == "off"


@pytest.mark.parametrize(
    ("endpoint", "error"),
    [
        ("unix:/etc/passwd", "endpoint_unavailable"),
        ("unix:" + "a" * 200, "endpoint_unavailable"),
        # A name that no name server may know.
        ("tcp:host.invalid:4444", "endpoint_unavailable"),
        ("exec:/no/such/program", "endpoint_unavailable"),
        # Like an ssh that cannot reach the hypervisor.
        ("exec:sh -c 'exit 255'", "channel_closed"),
        ("exec:cat /dev/null", "channel_closed"),
    ],
)
def test_errors_that_never_mean_off(run_module: RunModule, endpoint: str, error: str) -> None:
    result = run_module("shutdown", endpoint, assume_off=True)
    assert result["failed"] and result["error"] == error


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, None])
def test_unreachable_host_does_not_mean_off(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    failures = [OSError(number, "no way there") if number else TimeoutError(), ConnectionRefusedError(111, "no")]

    def connect(family: int, address: t.Any, deadline: t.Any) -> t.NoReturn:
        raise failures.pop(0)

    addresses = [(2, 1, 6, "", ("192.0.2.1", 4444)), (2, 1, 6, "", ("192.0.2.2", 4444))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: addresses)
    monkeypatch.setattr(stream_socket, "connect", connect)
    result = run_module("shutdown", "tcp:hypervisor:4444", assume_off=True)
    assert result["failed"] and result["error"] == "endpoint_unavailable" and failures == []


# Check mode


def test_check_mode(run_module: RunModule) -> None:
    for mode, state in (("powerdown", "off"), ("halt", "halted"), ("reboot", "running")):
        guest = Guest()
        result = run_module("shutdown", guest, check_mode=True, mode=mode)
        assert result["changed"] and result["diff"]["after"]["state"] == state and "evidence" not in result
        assert guest.mode is None and "guest-shutdown" not in commands(guest)


# Through libvirt


def test_domain_is_seen_off(run_module: RunModule, hypervisor: Hypervisor) -> None:
    result = run_module("shutdown", "libvirt", domain="db1")
    assert result["changed"] and result["evidence"] == "domain_off" and result["state"] == "off"
    assert ("shutdownFlags", 2) in hypervisor.native_calls
    again = run_module("shutdown", "libvirt", domain="db1")
    assert not again["changed"] and again["state"] == "off" and again["evidence"] == "domain_off"
    assert hypervisor.native_calls.count(("shutdownFlags", 2)) == 1


def test_transient_domain_that_disappears_is_off(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def vanish(flags: int) -> None:
        hypervisor.states = [1, 42]

    def state() -> tuple[int, int]:
        number = hypervisor.states.pop(0) if hypervisor.states else 1
        if number == 42:
            raise Failure(42, "no domain with matching uuid")
        return number, 0

    hypervisor.own["shutdownFlags"] = vanish
    hypervisor.state = state  # type: ignore[method-assign]
    assert run_module("shutdown", "libvirt", domain="db1")["evidence"] == "domain_off"


def test_check_mode_through_libvirt(run_module: RunModule, hypervisor: Hypervisor) -> None:
    assert run_module("shutdown", "libvirt", domain="db1", check_mode=True)["changed"]
    assert hypervisor.native_calls == []
    hypervisor.power = OFF
    assert not run_module("shutdown", "libvirt", domain="db1", check_mode=True)["changed"]


def test_check_mode_considers_the_power_button(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.leave()
    options: dict[str, t.Any] = {"domain": "db1", "check_mode": True}
    assert run_module("shutdown", "libvirt", fallback="acpi", **options)["changed"]
    assert run_module("shutdown", "libvirt", **options)["error"] == "agent_silent"
    hypervisor.power = PAUSED
    assert run_module("shutdown", "libvirt", fallback="acpi", **options)["error"] == "endpoint_unavailable"
    assert hypervisor.native_calls == []


@pytest.mark.usefixtures("quick_silence")
def test_halted_guest_leaves_its_domain_running(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def halt(arguments: dict[str, t.Any]) -> t.NoReturn:
        assert arguments == {"mode": "halt"}
        hypervisor.leave()
        raise Failure(86, "Guest agent disappeared while executing command")

    hypervisor.agent["guest-shutdown"] = halt
    result = run_module("shutdown", "libvirt", domain="db1", mode="halt")
    assert result["evidence"] == "agent_gone" and result["state"] == "halted"


def test_domain_that_keeps_running_is_outcome_unknown(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.own["shutdownFlags"] = lambda flags: 0
    result = run_module("shutdown", "libvirt", domain="db1", wait_timeout=0.1)
    assert result["failed"] and result["error"] == "outcome_unknown" and "the domain is running" in result["msg"]
    assert ("shutdownFlags", 1) not in hypervisor.native_calls


class PassingFailures(list[Exception]):
    """Failures that each occur once."""

    def __iter__(self) -> t.Iterator[Exception]:
        while self:
            yield self.pop()


def test_libvirt_may_be_unavailable_for_a_while(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def end(flags: int) -> None:
        hypervisor.power = OFF
        hypervisor.open_failures = PassingFailures([Failure(38, "Connection refused")] * 5)
        hypervisor.alive = False

    hypervisor.own["shutdownFlags"] = end
    assert run_module("shutdown", "libvirt", domain="db1")["evidence"] == "domain_off"
    assert not hypervisor.open_failures


@pytest.mark.parametrize(
    ("state", "message"), [(OFF, "the domain is off"), (PAUSED, "virsh resume"), (SUSPENDED, "dompmwakeup")]
)
@pytest.mark.parametrize("fallback", ["none", "acpi"])
def test_domain_that_does_not_run_is_not_rebooted(
    run_module: RunModule, hypervisor: Hypervisor, state: int, message: str, fallback: str
) -> None:
    hypervisor.power = state
    result = run_module("shutdown", "libvirt", domain="db1", mode="reboot", fallback=fallback)
    assert result["failed"] and result["error"] == "endpoint_unavailable" and message in result["msg"]
    assert hypervisor.native_calls == []


# The power button


def press(hypervisor: Hypervisor) -> t.Callable[[int], None]:
    """Return what a guest does that reacts to its power button, and not to its agent."""
    return lambda flags: setattr(hypervisor, "power", OFF) if flags == 1 else None


@pytest.mark.parametrize("mode", ["powerdown", "halt"])
def test_button_is_pressed_if_no_agent_is_connected(run_module: RunModule, hypervisor: Hypervisor, mode: str) -> None:
    hypervisor.leave()
    hypervisor.own["shutdownFlags"] = press(hypervisor)
    result = run_module("shutdown", "libvirt", domain="db1", mode=mode, fallback="acpi")
    assert result["changed"] and result["fallback_used"] and result["evidence"] == "domain_off"
    assert "no guest agent is connected" in result["fallback_reason"] in result["warnings"][0]
    assert [call for call in hypervisor.native_calls if call[0] == "shutdownFlags"] == [("shutdownFlags", 1)]


def test_button_is_pressed_after_a_refusal(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def shut_down(flags: int) -> None:
        if flags == 2:
            raise Failure(1, "unable to execute QEMU agent command 'guest-shutdown': no such program")
        hypervisor.power = OFF

    hypervisor.own["shutdownFlags"] = shut_down
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi")
    assert result["fallback_used"] and "no such program" in result["warnings"][0]


def test_button_is_pressed_after_half_of_the_time(
    run_module: RunModule, hypervisor: Hypervisor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.skips_sleep = True
    monkeypatch.setattr(guest_monitor, "time", clock)
    hypervisor.own["shutdownFlags"] = press(hypervisor)
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait_timeout=100)
    assert result["fallback_used"] and "within 50 s" in result["warnings"][0] and 50 <= result["elapsed"] < 100


def test_button_is_not_pressed_if_guest_goes_down_meanwhile(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.leave()
    # The first states are for the checks before: whether the domain is off, and whether the button helps.
    hypervisor.states, hypervisor.power = [RUNNING] * 3, OFF
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi")
    assert result["changed"] and result["evidence"] == "domain_off"
    assert not result["fallback_used"] and "warnings" not in result
    assert ("shutdownFlags", 1) not in hypervisor.native_calls


def test_button_is_not_pressed_if_guest_was_paused_meanwhile(
    run_module: RunModule, hypervisor: Hypervisor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.skips_sleep = True
    monkeypatch.setattr(guest_monitor, "time", clock)
    hypervisor.own["shutdownFlags"] = lambda flags: setattr(hypervisor, "power", PAUSED)
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait_timeout=100)
    assert result["error"] == "outcome_unknown" and not result["fallback_used"] and result["elapsed"] >= 100
    assert ("shutdownFlags", 1) not in hypervisor.native_calls


def test_button_without_effect_is_outcome_unknown(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.own["shutdownFlags"] = lambda flags: 0
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait_timeout=0.2)
    assert result["failed"] and result["error"] == "outcome_unknown" and result["fallback_used"]
    assert "within 0.1 s" in result["fallback_reason"]


def test_libvirt_refuses_to_press_the_button(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def refuse(flags: int) -> t.NoReturn:
        raise Failure(88, "access denied: 'QEMU' denied access: domain.init-control")

    hypervisor.leave()
    hypervisor.own["shutdownFlags"] = refuse
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait=False)
    assert result["failed"] and "libvirt did not press the power button: access denied" in result["msg"]


def test_button_is_pressed_without_waiting(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.leave()
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait=False)
    assert result["fallback_used"] and result["evidence"] == "no_error"


def agent_returns(hypervisor: Hypervisor, served: dict[str, t.Any], is_up: t.Callable[[], bool]) -> None:
    """Remove the agent, and bring it back at the first sync when the guest is up."""
    hypervisor.leave()
    gone = hypervisor.agent["guest-sync"]

    def sync(arguments: dict[str, t.Any]) -> t.Any:
        if not is_up():
            return gone(arguments)
        hypervisor.agent.update(served)
        return arguments["id"]

    hypervisor.agent["guest-sync"] = sync


def test_button_reboots_the_guest(run_module: RunModule, hypervisor: Hypervisor) -> None:
    served = dict(hypervisor.agent)

    def reboot(flags: int) -> None:
        assert flags == 1
        polls = iter([False])
        agent_returns(hypervisor, served, lambda: next(polls, True))

    hypervisor.leave()
    hypervisor.own["reboot"] = reboot
    result = run_module("shutdown", "libvirt", domain="db1", mode="reboot", fallback="acpi")
    assert result["fallback_used"] and result["evidence"] == "agent_returned" and result["state"] == "running"


def test_button_is_not_pressed_during_a_reboot(run_module: RunModule, hypervisor: Hypervisor, clock: Clock) -> None:
    served = dict(hypervisor.agent)

    def reboot(flags: int) -> None:
        assert flags == 2
        # After more than half of the time, and well before its end.
        up = clock.monotonic() + 60
        agent_returns(hypervisor, served, lambda: clock.monotonic() >= up)

    clock.skips_sleep = True
    hypervisor.own["reboot"] = reboot
    result = run_module("shutdown", "libvirt", domain="db1", mode="reboot", fallback="acpi", wait_timeout=100)
    assert not result["fallback_used"] and result["evidence"] == "agent_returned"


@pytest.mark.parametrize("check_mode", [False, True])
def test_button_is_not_pressed_for_a_frozen_guest(
    run_module: RunModule, hypervisor: Hypervisor, check_mode: bool
) -> None:
    # A frozen agent accepts little more than a thaw.
    enabled = {"guest-shutdown": False, "guest-fsfreeze-status": True}
    commands = [{"name": name, "enabled": is_on, "success-response": True} for name, is_on in enabled.items()]
    hypervisor.serve(guest_info={"version": "7.2.22", "supported_commands": commands}, guest_fsfreeze_status="frozen")
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", check_mode=check_mode)
    assert result["failed"] and result["error"] == "filesystems_frozen" and hypervisor.native_calls == []


def test_fallback_needs_libvirt(run_module: RunModule) -> None:
    guest = Guest()
    result = run_module("shutdown", guest, fallback="acpi")
    assert result["failed"] and result["error"] == "invalid_request" and guest.requests == []


def test_state_of_domain_counts_on_its_other_channels(run_module: RunModule, hypervisor: Hypervisor) -> None:
    """libvirt reports the state, whichever channel the agent is on."""
    hypervisor.power = OFF
    result = run_module("shutdown", "libvirt:io.netless.agent.0", domain="db1", fallback="acpi")
    assert not result["changed"] and result["evidence"] == "domain_off"
