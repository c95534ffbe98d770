# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diagnosing as a module: whatever is wrong with a guest there is a finding, and never a failure."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import socket
import sys
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent import target as target_module
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis import capabilities, reachability
from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS
from ansible_collections.netless.qga.plugins.module_utils.errors import LibraryMissing
from ansible_collections.netless.qga.plugins.modules import diagnosis_info
from ansible_collections.netless.qga.tests.guests.agent_profiles import PROFILES
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.local_guest import LocalGuest
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    Failure,
    Hypervisor,
    channel_xml,
)

from .conftest import TEST_TIMEOUT, Clock, RunModule, operation_of, silence_of

HEALTHY = """\
uid 0
user root
spool /dev/shm
gzip yes
setsid yes
python 3.13 python3.13
end yes
"""


def agent_with(*profiles: str, says: str | bytes = HEALTHY, rc: int = 0) -> ScriptedAgent:
    """An agent that has all commands, changed by profiles.

    :param says: what its programs write to standard output.
    :param rc: what they end with.
    """
    out = base64.b64encode(says if isinstance(says, bytes) else says.encode("utf-8")).decode("ascii")
    agent = ScriptedAgent()
    for name in COMMANDS:
        agent.handlers.setdefault(name, lambda arguments: {})
    agent.handlers["guest-exec-status"] = lambda arguments: {"exited": True, "exitcode": rc, "out-data": out}
    agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "almalinux", "pretty-name": "AlmaLinux 9.4"}
    for profile in profiles:
        PROFILES[profile](agent)
    return agent


def assert_well_formed(result: dict[str, t.Any]) -> None:
    """What holds for each diagnosis."""
    assert "failed" not in result and result["changed"] is False
    statuses = {finding["status"] for finding in result["findings"]}
    assert statuses <= {"ok", "warning", "problem", "unknown"}
    assert result["ok"] is ("problem" not in statuses)
    assert result["summary"] and result["findings"]
    checks = [finding["check"] for finding in result["findings"]]
    assert len(set(checks)) == len(checks)
    for finding in result["findings"]:
        assert finding["message"] and isinstance(finding["advice"], str)
        assert finding["advice"] or finding["status"] not in ("warning", "problem")


Diagnose = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def diagnose(run_module: RunModule) -> Diagnose:
    """Diagnoses an agent, and gives the findings by their checks, besides the result as ``result``."""

    def run(agent: ScriptedAgent | str, **options: t.Any) -> dict[str, t.Any]:
        result = run_module("diagnosis_info", agent, **options)
        assert_well_formed(result)
        return {"result": result, **{finding["check"]: finding for finding in result["findings"]}}

    return run


def requested(agent: ScriptedAgent) -> list[str]:
    return [request["execute"] for request in agent.requests]


def test_nothing_is_wrong(diagnose: Diagnose) -> None:
    found = diagnose(agent_with())
    assert found["result"]["ok"] and "nothing to be done" in found["result"]["summary"]
    assert {name for name in found if name != "result"} == {
        *("libraries", "channel", "agent", "version", "frozen", "exec", "files", "commands", "speed"),
        *("shell", "user", "selinux", "spool", "python", "gzip", "setsid"),
    }
    assert {found[name]["status"] for name in found if name != "result"} == {"ok"}
    assert found["python"]["message"] == "python3.13 in the guest is Python 3.13"


def test_check_mode_is_the_same(diagnose: Diagnose) -> None:
    agent = agent_with()
    assert diagnose(agent, check_mode=True)["shell"]["status"] == "ok"
    assert set(requested(agent)) == {
        *("guest-sync", "guest-sync-delimited", "guest-info", "guest-fsfreeze-status", "guest-ping"),
        *("guest-exec", "guest-exec-status"),
    } - {"guest-sync"}


# The way to an agent


def test_there_is_no_socket(diagnose: Diagnose, tmp_path: t.Any) -> None:
    found = diagnose(f"unix:{tmp_path}/nothing")
    assert found["channel"]["status"] == "problem" and "no such socket" in found["channel"]["message"]
    assert found["result"]["summary"].startswith(found["channel"]["message"])
    assert [finding["check"] for finding in found["result"]["findings"]] == ["libraries", "channel"]


def test_somebody_holds_the_socket(diagnose: Diagnose) -> None:
    agent = agent_with()
    with agent.listening() as path, socket.socket(socket.AF_UNIX) as holder:
        holder.connect(path)
        found = diagnose(f"unix:{path}", timeout=0.3)
    assert found["channel"]["status"] == "problem" and "another client holds" in found["channel"]["message"]
    assert "libvirt:NAME" in found["channel"]["advice"]


def test_nobody_answers(diagnose: Diagnose) -> None:
    found = diagnose(agent_with("silence"), silence=0.2)
    assert found["agent"]["status"] == "problem" and "qemu-guest-agent" in found["agent"]["advice"]
    assert "version" not in found


def test_it_hangs_up_at_once(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.serve = lambda connection: None  # type: ignore[method-assign]
    found = diagnose(agent)
    assert found["agent"]["status"] == "problem" and "closed" in found["agent"]["message"]


@pytest.mark.parametrize("profile", ["stale", "ignores_ids", "no_delimited", "unsolicited_event"])
def test_what_is_odd_and_works(diagnose: Diagnose, profile: str) -> None:
    assert diagnose(agent_with(profile))["agent"]["status"] == "ok"


def test_what_was_left_in_the_channel(diagnose: Diagnose) -> None:
    assert "thrown away" in diagnose(agent_with("stale"))["agent"]["message"]
    assert "thrown away" not in diagnose(agent_with())["agent"]["message"]


@pytest.mark.parametrize(
    ("profile", "advice"),
    [
        ("never", "hangs"),
        ("hangs_up", "hangs"),
        ("garbage", "leads to a guest agent"),
        ("wrong_types", "leads to a guest agent"),
        ("deep", "leads to a guest agent"),
        ("both", "leads to a guest agent"),
        ("neither", "leads to a guest agent"),
        ("nan", "leads to a guest agent"),
        ("random", "leads to a guest agent"),
        ("cut", "hangs"),
        ("foreign_ids", "hangs"),
    ],
)
def test_it_syncs_and_then_goes_wrong(diagnose: Diagnose, profile: str, advice: str) -> None:
    found = diagnose(agent_with(profile), silence=silence_of(profile))
    assert found["agent"]["status"] == "ok"
    assert found["version"]["status"] == "problem" and advice in found["version"]["advice"]
    assert list(found)[-1] == "version"


def test_there_is_no_jsonschema(diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> t.NoReturn:
        raise LibraryMissing("Python's jsonschema is needed")

    monkeypatch.setattr(reachability, "require_jsonschema", fail)
    found = diagnose(agent_with())
    assert found["libraries"]["status"] == "problem" and "jsonschema" in found["libraries"]["message"]
    assert "controller" in found["libraries"]["advice"] and "channel" not in found


def test_not_to_have_looked_at_the_agent_is_not_to_have_found_it_well(
    diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(channel: StreamChannel, deadline: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StreamChannel, "sync", fail)
    found = diagnose(agent_with())
    assert found["agent"]["status"] == "problem" and "No space left" in found["agent"]["message"]
    assert list(found)[-1] == "agent"


def test_diagnoses_and_unchecked_commands_take_no_jsonschema(
    run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: t.Any) -> t.NoReturn:
        raise LibraryMissing("Python's jsonschema is needed")

    for module in (reachability, diagnosis_info, target_module):
        monkeypatch.setattr(module, "require_jsonschema", fail)
    result = run_module("diagnosis_info", agent_with())
    assert not result["ok"] and "jsonschema" in result["summary"]
    assert run_module("command", agent_with(), command="guest-ping", validate=False)["reply"] == {}
    assert run_module("command", agent_with(), command="guest-ping")["error"] == "library_missing"


def test_an_endpoint_that_is_none_is_an_error_of_the_options(run_module: RunModule) -> None:
    result = run_module("diagnosis_info", "carrier-pigeon:web1")
    assert result["failed"] and result["error"] == "invalid_request"


# libvirt


class HypervisorWithVersions(Hypervisor):
    """One that also tells its versions."""

    # pylint: disable=invalid-name  # they are libvirt's

    def connect(self) -> Hypervisor:
        return self

    def getLibVersion(self) -> int:
        return 9_000_000

    def getVersion(self) -> int:
        return 7_002_022


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> HypervisorWithVersions:
    hypervisor = HypervisorWithVersions()
    hypervisor.install(monkeypatch)
    return hypervisor


def diagnose_domain(name: str = "db1", endpoint: str = "libvirt") -> dict[str, t.Any]:
    """As ``diagnose`` does."""
    params = {"domain": name, "uri": None, "endpoint": endpoint, "timeout": TEST_TIMEOUT}
    result = operation_of("diagnosis_info").carry_out(params, Target(Address()), check_mode=False, diff_mode=False)
    assert_well_formed(result)
    return {"result": result, **{finding["check"]: finding for finding in result["findings"]}}


@pytest.mark.parametrize(
    ("code", "reason"),
    [(45, "did not accept who we are"), (38, "says libvirt"), (88, "access control")],
)
def test_libvirt_refuses(hypervisor: HypervisorWithVersions, code: int, reason: str) -> None:
    hypervisor.open_failures = [Failure(code)]
    found = diagnose_domain()
    assert found["libvirt"]["status"] == "problem" and reason in found["libvirt"]["message"]
    assert "guide to permissions" in found["libvirt"]["advice"] and "domain" not in found


def test_there_is_no_domain(hypervisor: HypervisorWithVersions) -> None:
    found = diagnose_domain("nobody")
    assert found["libvirt"]["status"] == "problem" and "no such domain" in found["libvirt"]["message"]


@pytest.mark.parametrize(("state", "reason"), [(3, "paused"), (5, "off"), (6, "crashed"), (7, "suspended")])
def test_the_domain_does_not_run(hypervisor: HypervisorWithVersions, state: int, reason: str) -> None:
    hypervisor.states = [state] * 9
    found = diagnose_domain()
    assert found["libvirt"]["status"] == "ok"
    assert found["domain"]["status"] == "problem" and reason in found["domain"]["message"]
    assert "virsh" in found["domain"]["advice"]
    assert list(found)[-1] == "domain"


@pytest.mark.parametrize(
    ("code", "text", "check", "advice"),
    [
        (74, "QEMU guest agent is not configured", "channel", "virsh attach-device"),
        (88, "access denied", "channel", "virsh attach-device"),
        (29, "operation forbidden", "channel", "virsh attach-device"),
        (86, "Guest agent is not responding: QEMU guest agent is not connected", "agent", "package qemu-guest-agent"),
        (86, "Guest agent is not responding: Guest agent not available for now", "agent", "hangs"),
    ],
)
def test_libvirt_knows_of_no_agent(
    hypervisor: HypervisorWithVersions, code: int, text: str, check: str, advice: str
) -> None:
    hypervisor.channels = channel_xml("org.qemu.guest_agent.0", 0, connected=advice == "hangs")
    hypervisor.replies = [Failure(code, text)]
    found = diagnose_domain()
    assert found["domain"]["status"] == "ok" and "under libvirt 9.0.0 and QEMU 7.2.22" in found["libvirt"]["message"]
    assert found[check]["status"] == "problem" and advice in found[check]["advice"]
    assert list(found)[-1] == check


def test_there_is_no_library_of_libvirts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    found = diagnose_domain()
    assert found["libraries"]["status"] == "problem" and "libvirt-python" in found["libraries"]["message"]


def test_libvirt_goes_away_in_the_middle(hypervisor: HypervisorWithVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        hypervisor.alive = False
        hypervisor.open_failures = [Failure(38, "Failed to connect socket")]
        raise Failure(38, "Broken pipe")

    monkeypatch.setattr(hypervisor, "getLibVersion", fail)
    found = diagnose_domain()
    assert "under libvirt" not in found["libvirt"]["message"]
    assert found["domain"]["status"] == "problem" and "Failed to connect socket" in found["domain"]["message"]


# What the agent is and may do


def test_old_agents(diagnose: Diagnose) -> None:
    found = diagnose(agent_with("no_ids"))
    assert found["version"]["status"] == "warning" and "2.12.0" in found["version"]["message"]
    assert found["result"]["ok"] and found["result"]["summary"].startswith("The agent works")


def test_a_version_like_no_other(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.version = "\x1b[31mnewest\n" + "x" * 5000
    found = diagnose(agent)
    assert found["version"]["status"] == "unknown"
    assert "\x1b" not in found["version"]["message"] and len(found["version"]["message"]) < 400


@pytest.mark.parametrize("profile", ["frozen", "frozen_newer_text"])
def test_frozen(diagnose: Diagnose, profile: str) -> None:
    agent = agent_with(profile)
    found = diagnose(agent)
    assert found["frozen"]["status"] == "problem" and "netless.qga.fsfreeze" in found["frozen"]["advice"]
    assert list(found)[-1] == "frozen" and "guest-exec" not in requested(agent)


def test_whether_it_is_frozen_is_not_known(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.disabled.add("guest-fsfreeze-status")
    found = diagnose(agent)
    assert found["frozen"]["status"] == "unknown" and found["commands"]["status"] == "warning"
    assert "fsfreeze" in found["commands"]["message"]


def test_an_agent_that_cannot_freeze(diagnose: Diagnose) -> None:
    agent = agent_with()
    for name in ("guest-fsfreeze-status", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"):
        del agent.handlers[name]
    assert diagnose(agent)["frozen"]["status"] == "ok"


def test_an_agent_that_does_not_tell(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.disabled.add("guest-info")
    found = diagnose(agent)
    assert found["version"]["status"] == "problem" and "guest-info" in found["version"]["advice"]


def test_blocked(diagnose: Diagnose) -> None:
    agent = agent_with("blocked")
    found = diagnose(agent)
    assert found["exec"]["status"] == found["files"]["status"] == "problem"
    message = "The agent of this guest (AlmaLinux 9.4) cannot run programs: the agent's configuration blocks guest-exec"
    assert found["exec"]["message"].startswith(message)
    assert "/etc/sysconfig/qemu-ga" in found["exec"]["advice"] and "qemu-ga.conf" in found["exec"]["advice"]
    assert found["commands"]["status"] == "ok" and "shell" not in found
    assert "guest-exec" not in requested(agent)
    assert found["result"]["summary"].endswith("Then see files.")


def test_blocked_by_an_agent_that_says_little(diagnose: Diagnose) -> None:
    def refuse(arguments: t.Any) -> t.Any:
        raise ErrorReply("no such file")

    agent = agent_with("blocked")
    agent.handlers["guest-get-osinfo"] = refuse
    assert diagnose(agent)["exec"]["message"].startswith("The agent cannot run programs")
    agent.disabled.add("guest-get-osinfo")
    found = diagnose(agent)
    assert found["exec"]["status"] == "problem" and found["commands"]["status"] == "warning"


def test_commands_that_the_agent_has_not(diagnose: Diagnose) -> None:
    agent = agent_with()
    for name in ("guest-exec", "guest-exec-status", "guest-ssh-add-authorized-keys"):
        del agent.handlers[name]
    found = diagnose(agent)
    assert found["exec"]["status"] == "problem" and "guest-exec (QEMU 2.5)" in found["exec"]["message"]
    assert "Upgrade" in found["exec"]["advice"]
    assert found["commands"]["status"] == "warning" and "authorized_keys" in found["commands"]["message"]


def test_slow(diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "_SLOW_SECONDS", 0.0)
    found = diagnose(agent_with())
    assert found["speed"]["status"] == "warning" and "ansible_qga_reply_timeout" in found["speed"]["advice"]


# What programs find


def test_a_guest_that_is_this_machine(diagnose: Diagnose) -> None:
    guest = LocalGuest()
    found = diagnose(guest)
    assert found["shell"]["status"] == found["spool"]["status"] == "ok"
    assert found["user"]["message"] == f"The agent runs as {pwd.getpwuid(os.geteuid()).pw_name}" + (
        "" if os.geteuid() == 0 else ", and not as root"
    )
    assert found["gzip"]["status"] == ("ok" if shutil.which("gzip") else "warning")
    assert found["setsid"]["status"] == ("ok" if shutil.which("setsid") else "warning")
    assert guest.running == {} and guest.handles == {}


def test_a_guest_with_nothing_but_a_shell(diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = diagnose(LocalGuest())
    assert found["shell"]["status"] == "ok" and found["user"]["status"] == "unknown"
    assert found["gzip"]["status"] == found["setsid"]["status"] == "warning"


def test_there_is_no_shell(diagnose: Diagnose) -> None:
    def refuse(arguments: t.Any) -> t.Any:
        raise ErrorReply("Guest agent command failed, error was 'Failed to execute child process'")

    agent = agent_with()
    agent.handlers["guest-exec"] = refuse
    found = diagnose(agent)
    assert found["shell"]["status"] == "problem" and "did not start /bin/sh" in found["shell"]["message"]


def test_programs_do_not_end(diagnose: Diagnose, clock: Clock) -> None:
    clock.skips_sleep = True
    agent = agent_with()
    agent.handlers["guest-exec-status"] = lambda arguments: {"exited": False}
    found = diagnose(agent)
    assert found["shell"]["status"] == "problem" and "does not end" in found["shell"]["message"]


def test_the_agent_goes_away_in_the_middle(diagnose: Diagnose) -> None:
    agent = agent_with()
    agent.deliveries.append(lambda line: [None] if requested(agent)[-1] == "guest-exec" else [line])
    found = diagnose(agent)
    assert found["shell"]["status"] == "problem" and "hangs" in found["shell"]["advice"]


@pytest.mark.parametrize("says", ["", "end", "\0\xff\n", "x" * 100_000])
def test_a_shell_that_is_none(diagnose: Diagnose, says: str) -> None:
    found = diagnose(agent_with(says=says, rc=127))
    assert found["shell"]["status"] == "problem" and "127" in found["shell"]["message"]


def test_nothing_that_tasks_take(diagnose: Diagnose) -> None:
    found = diagnose(agent_with(says="uid \nuser \nend yes\n"))
    assert found["shell"]["status"] == "ok" and found["user"]["status"] == "unknown"
    assert found["spool"]["status"] == "problem"
    assert {found[name]["status"] for name in ("python", "gzip", "setsid")} == {"warning"}


def test_not_root(diagnose: Diagnose) -> None:
    found = diagnose(agent_with(says=HEALTHY.replace("uid 0\nuser root", "uid 998\nuser qemu-ga")))
    assert found["user"]["status"] == "warning" and "qemu-ga" in found["user"]["message"]
    assert found["result"]["ok"]


@pytest.mark.parametrize(
    ("version", "status"), [("2.7", "warning"), ("3.6", "warning"), ("3.8", "warning"), ("3.9", "ok"), ("x", "warning")]
)
def test_pythons(diagnose: Diagnose, version: str, status: str) -> None:
    says = HEALTHY.replace("python 3.13", f"python {version}")
    assert diagnose(agent_with(says=says))["python"]["status"] == status


@pytest.mark.parametrize(
    ("context", "enforce", "writes", "status"),
    [
        ("system_u:system_r:virt_qemu_ga_t:s0", "1", False, "problem"),
        ("system_u:system_r:virt_qemu_ga_t:s0", "unknown", False, "problem"),
        ("system_u:system_r:virt_qemu_ga_t:s0", "1", True, "ok"),
        ("system_u:system_r:virt_qemu_ga_t:s0", "0", False, "ok"),
        ("system_u:system_r:unconfined_service_t:s0", "1", True, "ok"),
    ],
)
def test_selinux(diagnose: Diagnose, context: str, enforce: str, writes: bool, status: str) -> None:
    says = f"enforce {enforce}\ncontext {context}\0\n{'writes yes' if writes else ''}\n{HEALTHY}"
    found = diagnose(agent_with(says=says))
    assert found["selinux"]["status"] == status and context in found["selinux"]["message"]
    assert ("semanage permissive" in found["result"]["summary"]) is (status == "problem")


def test_what_a_guest_says_is_bounded(diagnose: Diagnose) -> None:
    says = "user \x1b[2Jroot\nuser other\nuid 5\n" + HEALTHY
    found = diagnose(agent_with(says=says))
    assert "\x1b" not in found["user"]["message"] and "other" not in found["user"]["message"]
