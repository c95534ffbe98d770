# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Powering guests down, halting and rebooting them, as seen on a socket and through libvirt."""

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
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests that end as fast as these need not be waited for as others."""
    monkeypatch.setattr(shutdown, "ERROR_TIMEOUT", 0.1)
    monkeypatch.setattr(guest_monitor, "_POLL_INTERVAL", 0.02)
    monkeypatch.setattr(guest_monitor, "_MIN_ERROR_TIMEOUT", 0.1)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For agents that fall silent at once, so that nobody could take a slow answer for silence.

    What an agent that is back does not answer in time, it is asked for again.
    """
    monkeypatch.setattr(shutdown, "SILENCE_TIMEOUT", 0.3)
    monkeypatch.setattr(guest_monitor, "_MAX_POLL_TIMEOUT", 0.2)


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    """One whose guest has an agent and powers down as it is told."""
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    hypervisor.serve(guest_shutdown={}, guest_fsfreeze_status="thawed")
    hypervisor.own["shutdownFlags"] = lambda flags: setattr(hypervisor, "power", OFF)
    return hypervisor


def commands(agent: ScriptedAgent) -> list[str]:
    return [request["execute"] for request in agent.requests if not request["execute"].startswith("guest-sync")]


class Guest(ScriptedAgent):
    """An agent of a guest that does something when it is told to shut down.

    :param shuts_down: what it does then.
    """

    def __init__(self, *profiles: str) -> None:
        super().__init__(*profiles)
        self.mode: str | None = None
        self.told = threading.Event()
        self.boots = 0
        self._missed: list[t.Any] | None = None
        self.shuts_down: t.Callable[[], None] = lambda: None
        self.handlers["guest-shutdown"] = self._shut_down
        for command in ("guest-sync", "guest-sync-delimited"):
            self.handlers[command] = self._sync

    def _shut_down(self, arguments: dict[str, t.Any]) -> object:
        self.mode = arguments["mode"]
        self.told.set()
        self.shuts_down()
        return NO_REPLY

    def falls_silent(self) -> None:
        self.silent = True

    def reboots(self) -> None:
        """Is back when its absence has been noticed: one sync was not answered, and another one comes."""
        self.falls_silent()
        self._missed = []

    def _sync(self, arguments: dict[str, t.Any]) -> t.Any:
        if self._missed:
            self._missed = None
            self.boots += 1
            self.silent = False
        elif self._missed is not None:
            self._missed.append(arguments["id"])
        return arguments["id"]

    def has_boot_ids(self) -> None:
        self.handlers["guest-file-open"] = lambda arguments: 1000
        self.handlers["guest-file-close"] = lambda arguments: {}
        self.handlers["guest-file-read"] = lambda arguments: self._read()

    def _read(self) -> dict[str, t.Any]:
        content = BOOT_IDS[self.boots].encode() + b"\n"
        return {"count": len(content), "buf-b64": base64.b64encode(content).decode(), "eof": True}

    def counts_ticks(self, *ticks: int) -> None:
        self.handlers["guest-get-cpustats"] = lambda arguments: [
            {"type": "linux", "cpu": 0, "user": 1, "nice": 0, "system": 1, "idle": ticks[self.boots], "iowait": 9}
        ]


def run_until_it_ends(run_module: RunModule, guest: Guest, **options: t.Any) -> dict[str, t.Any]:
    """Run the module on a guest whose QEMU ends with it."""
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(guest.listening())
        # Not in the agent's own thread, whose end it waits for.
        guest.shuts_down = threading.Thread(target=stack.close).start
        return run_module("shutdown", f"unix:{path}", **options)


@pytest.mark.parametrize("mode", ["powerdown", "halt"])
def test_a_socket_that_nobody_listens_on_any_more(run_module: RunModule, mode: str) -> None:
    guest = Guest()
    result = run_until_it_ends(run_module, guest, mode=mode)
    assert result["changed"] and result["evidence"] == "channel_closed" and result["state"] == "off"
    assert result["diff"] == {"before": {"state": "running"}, "after": {"state": "off"}}
    assert result["mode"] == guest.mode == mode and not result["fallback_used"] and 0 < result["elapsed"] < 20
    assert "warnings" not in result


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize(("mode", "state"), [("powerdown", "off"), ("halt", "halted")])
def test_an_agent_that_has_gone_from_an_open_channel(run_module: RunModule, mode: str, state: str) -> None:
    guest = Guest()
    guest.shuts_down = guest.falls_silent
    result = run_module("shutdown", guest, mode=mode, wait_timeout=60)
    assert result["changed"] and result["evidence"] == "agent_gone" and result["state"] == state


@pytest.mark.usefixtures("impatience")
def test_a_reboot_by_its_id(run_module: RunModule) -> None:
    guest = Guest()
    guest.has_boot_ids()
    guest.shuts_down = guest.reboots
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["changed"] and result["evidence"] == "new_boot_id" and result["state"] == "running"
    assert (result["boot_id_before"], result["boot_id_after"]) == BOOT_IDS
    assert result["diff"]["after"] == {"state": "running", "boot": BOOT_IDS[1]}
    assert guest.mode == "reboot" and commands(guest).count("guest-shutdown") == 1


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize(
    ("ticks", "evidence"), [((90000, 20), "uptime_reset"), ((20, 20), "agent_returned"), ((), "agent_returned")]
)
def test_a_reboot_of_a_guest_whose_files_cannot_be_read(
    run_module: RunModule, ticks: tuple[int, ...], evidence: str
) -> None:
    guest = Guest("blocked")
    if ticks:
        guest.counts_ticks(*ticks)
    guest.shuts_down = guest.reboots
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["changed"] and result["evidence"] == evidence
    assert "boot_id_before" not in result and "boot_id_after" not in result
    assert result["diff"]["before"]["boot"] != result["diff"]["after"]["boot"]


@pytest.mark.parametrize("mode", ["powerdown", "halt", "reboot"])
@pytest.mark.parametrize("profiles", [(), ("blocked",)])
def test_a_guest_that_does_nothing(run_module: RunModule, mode: str, profiles: tuple[str, ...]) -> None:
    guest = Guest(*profiles)
    guest.has_boot_ids()
    for name in profiles and ("guest-file-open", "guest-file-read", "guest-file-close"):
        guest.disabled.add(name)
    guest.counts_ticks(500)
    result = run_module("shutdown", guest, mode=mode, wait_timeout=0.3)
    assert result["failed"] and result["error"] == "outcome_unknown" and "evidence" not in result
    assert "the agent still answers" in result["msg"] and "unix:" in result["msg"]
    assert result["mode"] == mode and commands(guest).count("guest-shutdown") == 1


def test_not_waiting(run_module: RunModule) -> None:
    guest = Guest()
    result = run_module("shutdown", guest, wait=False)
    assert result["changed"] and result["evidence"] == "no_error" and "state" not in result
    assert result["elapsed"] < 20 and guest.told.wait(TEST_TIMEOUT) and guest.mode == "powerdown"


@pytest.mark.parametrize("wait", [True, False])
def test_the_agents_error_is_reported(run_module: RunModule, monkeypatch: pytest.MonkeyPatch, wait: bool) -> None:
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
def test_errors_before_it_is_sent(run_module: RunModule, check_mode: bool, mode: str) -> None:
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
def test_agents_that_cannot_be_trusted(run_module: RunModule, profile: str, error: str, mode: str) -> None:
    guest = Guest(profile)
    result = run_module("shutdown", guest, mode=mode, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error
    assert "guest-shutdown" not in commands(guest)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize(
    "content", [b"", b"no boot id\n", b"31557823-47EF-4b6c-a865-49271a1e7aff", b"\xff" * 36, b"a" * 60]
)
def test_a_boot_id_that_is_none(run_module: RunModule, content: bytes) -> None:
    guest = Guest()
    guest.has_boot_ids()
    guest.handlers["guest-file-read"] = lambda arguments: {
        "count": len(content),
        "buf-b64": base64.b64encode(content).decode(),
        "eof": True,
    }
    guest.shuts_down = guest.reboots
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["evidence"] == "agent_returned" and "boot_id_before" not in result


def test_ticks_that_are_none(run_module: RunModule) -> None:
    guest = Guest("blocked")
    guest.handlers["guest-get-cpustats"] = lambda arguments: [{"type": "of another kind", "idle": "joke"}]
    result = run_module("shutdown", guest, mode="reboot")
    assert result["error"] == "protocol_violation" and "guest-shutdown" not in commands(guest)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("kind", ["refused", "none"])
def test_a_guest_that_counts_none(run_module: RunModule, kind: str) -> None:
    guest = Guest("blocked")

    def count(arguments: dict[str, t.Any]) -> list[t.Any]:
        if kind == "refused":
            raise ErrorReply("failed to open /proc/stat")
        return []

    guest.handlers["guest-get-cpustats"] = count
    guest.shuts_down = guest.reboots
    result = run_module("shutdown", guest, mode="reboot", wait_timeout=60)
    assert result["evidence"] == "agent_returned"


def test_an_agent_that_is_none_any_more(run_module: RunModule) -> None:
    """Its answers to the sync are the first that are looked at."""
    guest = Guest()
    guest.greeting = b'{"QMP": {"version": {}, "capabilities": []}}\n'
    result = run_module("shutdown", guest)
    assert result["error"] == "protocol_violation" and "guest-shutdown" not in commands(guest)


def test_a_silent_agent(run_module: RunModule) -> None:
    result = run_module("shutdown", Guest("silence"), silence=0.2)
    assert result["failed"] and result["error"] == "agent_silent"


# What is off already


def test_a_socket_that_refuses_is_that_of_a_qemu_that_has_ended(run_module: RunModule, tmp_path: t.Any) -> None:
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    result = run_module("shutdown", f"unix:{path}")
    assert not result["changed"] and result["state"] == "off" and result["evidence"] == "channel_closed"
    assert result["diff"]["before"] == result["diff"]["after"] == {"state": "off"}
    assert run_module("shutdown", f"unix:{path}", mode="reboot")["error"] == "endpoint_unavailable"


def test_a_socket_that_does_not_exist_may_be_spelled_wrong(run_module: RunModule, tmp_path: t.Any) -> None:
    endpoint = f"unix:{tmp_path}/agent.sock"
    for options in ({}, {"mode": "reboot", "assume_off": True}, {"mode": "halt"}):
        result = run_module("shutdown", endpoint, **options)
        assert result["failed"] and result["error"] == "endpoint_unavailable" and endpoint in result["msg"]


@pytest.mark.parametrize("mode", ["powerdown", "halt"])
@pytest.mark.parametrize("endpoint", ["unix:{}/agent.sock", "tcp:127.0.0.1:9"])
def test_unless_it_is_said_that_it_is_not(run_module: RunModule, tmp_path: t.Any, endpoint: str, mode: str) -> None:
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
        # As ssh does that cannot reach the hypervisor.
        ("exec:sh -c 'exit 255'", "channel_closed"),
        ("exec:cat /dev/null", "channel_closed"),
    ],
)
def test_some_errors_say_nothing_about_the_machine(run_module: RunModule, endpoint: str, error: str) -> None:
    result = run_module("shutdown", endpoint, assume_off=True)
    assert result["failed"] and result["error"] == error


@pytest.mark.parametrize("unreached", [errno.EHOSTUNREACH, errno.ENETUNREACH, None])
def test_a_host_that_cannot_be_reached_need_not_be_off(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch, unreached: int | None
) -> None:
    failures = [OSError(unreached, "no way there") if unreached else TimeoutError(), ConnectionRefusedError(111, "no")]

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


def test_a_domain_is_seen_off(run_module: RunModule, hypervisor: Hypervisor) -> None:
    result = run_module("shutdown", "libvirt", domain="db1")
    assert result["changed"] and result["evidence"] == "domain_off" and result["state"] == "off"
    assert ("shutdownFlags", 2) in hypervisor.native_calls
    again = run_module("shutdown", "libvirt", domain="db1")
    assert not again["changed"] and again["state"] == "off" and again["evidence"] == "domain_off"
    assert hypervisor.native_calls.count(("shutdownFlags", 2)) == 1


def test_a_domain_that_is_gone_when_it_is_off(run_module: RunModule, hypervisor: Hypervisor) -> None:
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


def test_check_mode_foresees_the_button(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.leave()
    options: dict[str, t.Any] = {"domain": "db1", "check_mode": True}
    assert run_module("shutdown", "libvirt", fallback="acpi", **options)["changed"]
    assert run_module("shutdown", "libvirt", **options)["error"] == "agent_silent"
    hypervisor.power = PAUSED
    assert run_module("shutdown", "libvirt", fallback="acpi", **options)["error"] == "endpoint_unavailable"
    assert hypervisor.native_calls == []


@pytest.mark.usefixtures("impatience")
def test_a_halted_guest_leaves_its_domain_running(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def halt(arguments: dict[str, t.Any]) -> t.NoReturn:
        assert arguments == {"mode": "halt"}
        hypervisor.leave()
        raise Failure(86, "Guest agent disappeared while executing command")

    hypervisor.agent["guest-shutdown"] = halt
    result = run_module("shutdown", "libvirt", domain="db1", mode="halt")
    assert result["evidence"] == "agent_gone" and result["state"] == "halted"


def test_a_domain_that_stays(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.own["shutdownFlags"] = lambda flags: 0
    result = run_module("shutdown", "libvirt", domain="db1", wait_timeout=0.1)
    assert result["failed"] and result["error"] == "outcome_unknown" and "the domain is running" in result["msg"]
    assert ("shutdownFlags", 1) not in hypervisor.native_calls


class Passing(list[Exception]):
    """Failures that come once each."""

    def __iter__(self) -> t.Iterator[Exception]:
        while self:
            yield self.pop()


def test_libvirt_may_be_away_for_a_while(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def end(flags: int) -> None:
        hypervisor.power = OFF
        hypervisor.open_failures = Passing([Failure(38, "Connection refused")] * 5)
        hypervisor.alive = False

    hypervisor.own["shutdownFlags"] = end
    assert run_module("shutdown", "libvirt", domain="db1")["evidence"] == "domain_off"
    assert not hypervisor.open_failures


@pytest.mark.parametrize(
    ("state", "message"), [(OFF, "the domain is off"), (PAUSED, "virsh resume"), (SUSPENDED, "dompmwakeup")]
)
@pytest.mark.parametrize("fallback", ["none", "acpi"])
def test_a_domain_that_cannot_be_rebooted(
    run_module: RunModule, hypervisor: Hypervisor, state: int, message: str, fallback: str
) -> None:
    hypervisor.power = state
    result = run_module("shutdown", "libvirt", domain="db1", mode="reboot", fallback=fallback)
    assert result["failed"] and result["error"] == "endpoint_unavailable" and message in result["msg"]
    assert hypervisor.native_calls == []


# The power button


def press(hypervisor: Hypervisor) -> t.Callable[[int], None]:
    """A guest that minds its power button, and not its agent."""
    return lambda flags: setattr(hypervisor, "power", OFF) if flags == 1 else None


@pytest.mark.parametrize("mode", ["powerdown", "halt"])
def test_the_button_of_a_guest_without_an_agent(run_module: RunModule, hypervisor: Hypervisor, mode: str) -> None:
    hypervisor.leave()
    hypervisor.own["shutdownFlags"] = press(hypervisor)
    result = run_module("shutdown", "libvirt", domain="db1", mode=mode, fallback="acpi")
    assert result["changed"] and result["fallback_used"] and result["evidence"] == "domain_off"
    assert "no guest agent is connected" in result["fallback_reason"] in result["warnings"][0]
    assert [call for call in hypervisor.native_calls if call[0] == "shutdownFlags"] == [("shutdownFlags", 1)]


def test_the_button_after_a_refusal(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def shut_down(flags: int) -> None:
        if flags == 2:
            raise Failure(1, "unable to execute QEMU agent command 'guest-shutdown': no such program")
        hypervisor.power = OFF

    hypervisor.own["shutdownFlags"] = shut_down
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi")
    assert result["fallback_used"] and "no such program" in result["warnings"][0]


def test_the_button_after_half_of_the_time(
    run_module: RunModule, hypervisor: Hypervisor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.skips_sleep = True
    monkeypatch.setattr(guest_monitor, "time", clock)
    hypervisor.own["shutdownFlags"] = press(hypervisor)
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait_timeout=100)
    assert result["fallback_used"] and "within 50 s" in result["warnings"][0] and 50 <= result["elapsed"] < 100


def test_no_button_for_a_guest_that_goes_down_meanwhile(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.leave()
    # For what is looked at before: whether it is off, and whether the button is of any use.
    hypervisor.states, hypervisor.power = [RUNNING] * 3, OFF
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi")
    assert result["changed"] and result["evidence"] == "domain_off"
    assert not result["fallback_used"] and "warnings" not in result
    assert ("shutdownFlags", 1) not in hypervisor.native_calls


def test_no_button_for_a_guest_that_was_paused_meanwhile(
    run_module: RunModule, hypervisor: Hypervisor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.skips_sleep = True
    monkeypatch.setattr(guest_monitor, "time", clock)
    hypervisor.own["shutdownFlags"] = lambda flags: setattr(hypervisor, "power", PAUSED)
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait_timeout=100)
    assert result["error"] == "outcome_unknown" and not result["fallback_used"] and result["elapsed"] >= 100
    assert ("shutdownFlags", 1) not in hypervisor.native_calls


def test_the_button_is_of_no_use(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.own["shutdownFlags"] = lambda flags: 0
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait_timeout=0.2)
    assert result["failed"] and result["error"] == "outcome_unknown" and result["fallback_used"]
    assert "within 0.1 s" in result["fallback_reason"]


def test_libvirt_does_not_press_the_button(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def refuse(flags: int) -> t.NoReturn:
        raise Failure(88, "access denied: 'QEMU' denied access: domain.init-control")

    hypervisor.leave()
    hypervisor.own["shutdownFlags"] = refuse
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait=False)
    assert result["failed"] and "libvirt did not press the power button: access denied" in result["msg"]


def test_the_button_without_waiting(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.leave()
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", wait=False)
    assert result["fallback_used"] and result["evidence"] == "no_error"


def returns(hypervisor: Hypervisor, served: dict[str, t.Any], is_up: t.Callable[[], bool]) -> None:
    """Have the agent gone, and back as soon as it is asked for when the guest is up."""
    hypervisor.leave()
    gone = hypervisor.agent["guest-sync"]

    def sync(arguments: dict[str, t.Any]) -> t.Any:
        if not is_up():
            return gone(arguments)
        hypervisor.agent.update(served)
        return arguments["id"]

    hypervisor.agent["guest-sync"] = sync


def test_a_reboot_by_the_button(run_module: RunModule, hypervisor: Hypervisor) -> None:
    served = dict(hypervisor.agent)

    def reboot(flags: int) -> None:
        assert flags == 1
        looks = iter([False])
        returns(hypervisor, served, lambda: next(looks, True))

    hypervisor.leave()
    hypervisor.own["reboot"] = reboot
    result = run_module("shutdown", "libvirt", domain="db1", mode="reboot", fallback="acpi")
    assert result["fallback_used"] and result["evidence"] == "agent_returned" and result["state"] == "running"


def test_a_reboot_on_its_way_is_not_disturbed(run_module: RunModule, hypervisor: Hypervisor, clock: Clock) -> None:
    served = dict(hypervisor.agent)

    def reboot(flags: int) -> None:
        assert flags == 2
        # More than half of the time later, and well before its end.
        up = clock.monotonic() + 60
        returns(hypervisor, served, lambda: clock.monotonic() >= up)

    clock.skips_sleep = True
    hypervisor.own["reboot"] = reboot
    result = run_module("shutdown", "libvirt", domain="db1", mode="reboot", fallback="acpi", wait_timeout=100)
    assert not result["fallback_used"] and result["evidence"] == "agent_returned"


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_frozen_guest_has_no_button(run_module: RunModule, hypervisor: Hypervisor, check_mode: bool) -> None:
    # As a frozen agent does, which takes hardly more than a thaw.
    enabled = {"guest-shutdown": False, "guest-fsfreeze-status": True}
    commands = [{"name": name, "enabled": is_on, "success-response": True} for name, is_on in enabled.items()]
    hypervisor.serve(guest_info={"version": "7.2.22", "supported_commands": commands}, guest_fsfreeze_status="frozen")
    result = run_module("shutdown", "libvirt", domain="db1", fallback="acpi", check_mode=check_mode)
    assert result["failed"] and result["error"] == "filesystems_frozen" and hypervisor.native_calls == []


def test_there_is_no_button_without_libvirt(run_module: RunModule) -> None:
    guest = Guest()
    result = run_module("shutdown", guest, fallback="acpi")
    assert result["failed"] and result["error"] == "invalid_request" and guest.requests == []


def test_another_channel_of_a_domain_has_the_button_too(run_module: RunModule, hypervisor: Hypervisor) -> None:
    """The state is libvirt's, whichever channel the agent is on."""
    hypervisor.power = OFF
    result = run_module("shutdown", "libvirt:io.netless.agent.0", domain="db1", fallback="acpi")
    assert not result["changed"] and result["evidence"] == "domain_off"
