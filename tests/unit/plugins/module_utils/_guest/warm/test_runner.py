# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules in a warm server on this machine: the same results as in an interpreter of their own, and never twice."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner as warm_runner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import SLOTS
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    OutcomeUnknown,
    ProcessTimedOut,
)
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY

from ..local_guest import LocalGuest
from .conftest import Warm, is_alive, wait_until
from .payloads import PYTHON, payload

HELLO = "print('hello')"
DONE = CompletedProcess(0, b"hello\n", b"")

# Modules by what they show. Warm and cold, each gives the same exit status and the same output.
MODULES = {
    "output": "import sys; print('out'); print('err', file=sys.stderr)",
    "no_output": "pass",
    "exit_status": "import sys; print('before'); sys.exit(3)",
    "exit_message": "import sys; sys.exit('message')",
    "killed": "import os, signal; print('lost'); os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "large_output": "print('x' * 1000000)",
    "inline_limit": "print('x' * 16383)",
    "above_inline_limit": "print('x' * 16384)",
    "not_utf8": "import os; os.write(1, bytes(range(256)))",
    "lines_of_a_state_file": "print('exit 0 0 0\\npid 1')",
    "standard_input": "import sys; print(repr(sys.stdin.read()))",
    "closes_its_output": "import os; os.write(1, b'a'); os.close(1); os.close(2)",
    "background": "import subprocess; subprocess.Popen(['sleep', '30'], start_new_session=True); print('started')",
    "atexit": "import atexit; atexit.register(print, 'at exit')",
    "thread": "import threading; threading.Thread(target=print, args=['thread']).start()",
    "parameters": "print(PARAMS)",
    "arguments": "import sys; print(len(sys.argv), sys.argv[0].rpartition('.zip')[2], __name__)",
    "directory": "import os; print(os.getcwd(), os.umask(0))",
    "environment": "import os; print(sorted(os.environ.items()))",
    "search_path": "import sys; print(sys.path[1:])",
    "descriptors": "import os; print(sorted(os.listdir('/proc/self/fd'))[:4])",
    "process_name": "print(open('/proc/self/comm').read())",
    "signals": """\
from signal import SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGTERM, getsignal
print([getsignal(number) for number in (SIGCHLD, SIGPIPE, SIGINT, SIGTERM, SIGHUP)])""",
    "imports": """\
import sys
from ansible.module_utils import basic, text
print(basic.TEXT, sys.modules['ansible.module_utils.text'] is text)""",
    "zip_on_disk": "import sys, zipfile; print(sorted(zipfile.ZipFile(sys.path[0]).namelist()))",
    "new_interpreter": """\
import subprocess, sys
program = 'import ansible.module_utils.text as text; print(text.TEXT)'
subprocess.run([sys.executable, '-c', program], env={'PYTHONPATH': sys.path[0]})""",
    "source": "import inspect, ansible.module_utils.basic as b; print(inspect.getsource(b))",
    "resource": """\
from importlib import resources
with resources.path('ansible.module_utils', 'text.py') as path: print(path.read_text())""",
    "exception": "def fail(): raise ValueError('bad')\nfail()",
    "import_error": "import ansible.module_utils.nothing",
    "failing_import": "import ansible.module_utils.failing",
    "chain": "try: 1 / 0\nexcept ZeroDivisionError as exc: raise KeyError('key') from exc",
}

# In a traceback or a warning: where the zip was, and how Python's own machinery has imported something. From a shell:
# that a signal has ended the program.
_VARIABLE = re.compile(rb'((?<=")|^)[^"\n]*payload\.zip|^  File "<frozen [^\n]*\n|^(Killed|Terminated)\n', re.MULTILINE)


def comparable(result: CompletedProcess | None) -> tuple[int, bytes, bytes]:
    """Return a result without what differs from one run to the next."""
    assert result is not None
    return result.rc, result.stdout, _VARIABLE.sub(b"", result.stderr)


@pytest.mark.parametrize("name", MODULES)
def test_module_gives_the_same_result_as_cold(warm: Warm, name: str) -> None:
    failing = {"ansible/module_utils/failing.py": "def fail(): raise ValueError('bad')\nfail()"}
    program = payload(MODULES[name], params="{'a': 1}", libraries=failing)
    cold = comparable(warm.run_cold(program))
    # The second job runs in a server that has everything already.
    assert [comparable(warm.run(program)) for dummy in range(2)] == [cold, cold]


def test_module_with_a_syntax_error_fails_as_cold(warm: Warm) -> None:
    program = payload("this is no Python")
    (rc, stdout, error), cold = comparable(warm.run(program)), comparable(warm.run_cold(program))
    assert (rc, stdout, error.splitlines()[-4:]) == (cold[0], cold[1], cold[2].splitlines()[-4:])


def test_module_that_kills_its_group_has_the_exit_status_of_a_signal(warm: Warm) -> None:
    program = payload("import os, signal; print('x', flush=True); os.killpg(0, signal.SIGKILL)")
    assert warm.run(program) == CompletedProcess(137, b"x\n", b"")


def test_later_jobs_start_no_program_in_the_guest(guest: LocalGuest, warm: Warm) -> None:
    assert warm.run(payload(HELLO)) == DONE
    started = len(guest.calls("guest-exec"))
    assert [warm.run(payload(f"{HELLO} # {number}")) for number in range(5)] == [DONE] * 5
    assert len(guest.calls("guest-exec")) == started
    assert len(warm.directories()) == 1
    assert warm.lines == ["WARM ansible.builtin.test, in a new server", *["WARM ansible.builtin.test"] * 5]


def test_a_member_is_sent_once(guest: LocalGuest, warm: Warm) -> None:
    libraries = {"ansible/module_utils/large.py": f"DATA = {os.urandom(20000).hex()!r}"}
    program = payload(HELLO, libraries=libraries)
    warm.run(program)
    written = len(guest.calls("guest-file-write"))
    warm.run(program)
    warm.run(payload("from ansible.module_utils.large import DATA; print(len(DATA))", libraries=libraries))
    assert 0 < sum(len(call["buf-b64"]) for call in guest.calls("guest-file-write")[written:]) < 12000


def test_modules_of_one_name_in_two_zips_do_not_mix(warm: Warm) -> None:
    source = """\
from ansible.module_utils.text import TEXT
from ansible.module_utils.basic import TEXT as AGAIN
print(TEXT, AGAIN)"""
    for text in ("first", "second", "first"):
        program = payload(source, libraries={"ansible/module_utils/text.py": f"TEXT = {text!r}"})
        assert warm.run(program) == CompletedProcess(0, f"{text} {text}\n".encode(), b"")


def test_jobs_do_not_see_what_others_changed(warm: Warm) -> None:
    source = (
        "import os; from ansible.module_utils import basic, text\n"
        "basic.SEEN.append(1); text.COUNT[0] += 1; os.environ['LEFT'] = 'x'; os.chdir('/tmp')\n"
        "print(basic.SEEN, text.COUNT)"
    )
    assert [warm.run(payload(source)) for dummy in range(3)] == [CompletedProcess(0, b"[1] [1]\n", b"")] * 3


def test_libselinux_is_loaded_by_each_job(warm: Warm) -> None:
    libraries = {
        "ansible/module_utils/basic.py": "from ansible.module_utils.compat import selinux\nPID = selinux.PID\n",
        "ansible/module_utils/compat/__init__.py": "",
        "ansible/module_utils/compat/selinux.py": "import os\nPID = os.getpid()\n",
    }
    source = "import os; from ansible.module_utils import basic; print(basic.PID == os.getpid())"
    assert warm.run(payload(source, libraries=libraries)) == CompletedProcess(0, b"True\n", b"")


def test_a_library_that_a_task_installed_is_found(warm: Warm, tmp_path: pathlib.Path) -> None:
    command = f"PYTHONPATH={tmp_path} {PYTHON}"
    (tmp_path / "first.py").touch()
    source = "import importlib.util as u; print([bool(u.find_spec(name)) for name in ('first', 'second')])"
    assert warm.run(payload(source), command=command) == CompletedProcess(0, b"[True, False]\n", b"")
    first = warm.directories()
    (tmp_path / "second.py").touch()
    assert warm.run(payload(source), command=command) == CompletedProcess(0, b"[True, True]\n", b"")
    assert warm.directories() != first
    wait_until(lambda: not first & warm.directories())


def test_another_environment_has_another_server(warm: Warm) -> None:
    source = "import os; print(os.environ.get('A'))"
    for value in ("one", "two", "one"):
        assert warm.run(payload(source), command=f"A={value} {PYTHON}") == CompletedProcess(
            0, f"{value}\n".encode(), b""
        )
    assert len(warm.directories()) == 2


def test_nobody_else_can_look_into_the_directory(warm: Warm) -> None:
    warm.run(payload(HELLO))
    directory = warm.directory()
    assert directory.stat().st_mode & 0o777 == 0o711
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "program",
    [b"print(1)\n", payload(HELLO).replace(b"rlimit_nofile=0", b"new_argument=0"), b""],
    ids=["another program", "another argument", "nothing"],
)
def test_unknown_program_is_left_to_a_cold_start(warm: Warm, program: bytes) -> None:
    assert warm.run(program) is None
    assert not warm.directories()


def test_excluded_module_is_left_to_a_cold_start(warm: Warm) -> None:
    assert warm.run(payload(HELLO, name="cold")) is None


def test_python_that_does_not_start_is_tried_once(guest: LocalGuest, warm: Warm) -> None:
    assert warm.run(payload(HELLO), command="/nonexistent/python3") is None
    assert not warm.directories()
    started = len(guest.calls("guest-exec"))
    assert warm.run(payload(HELLO), command="/nonexistent/python3") is None
    assert len(guest.calls("guest-exec")) == started


def test_python_that_got_an_open_file_is_no_server(warm: Warm, tmp_path: pathlib.Path) -> None:
    interpreter = tmp_path / "python3"
    interpreter.write_text(f'#!/bin/sh\nexec {PYTHON} "$@" 7</dev/null\n')
    interpreter.chmod(0o755)
    assert warm.run(payload(HELLO), command=str(interpreter)) is None
    assert not warm.directories()


def test_server_that_was_killed_is_replaced(warm: Warm) -> None:
    warm.run(payload(HELLO))
    first = warm.directory()
    os.kill(warm.server(), signal.SIGKILL)
    wait_until(lambda: not first.exists())
    assert warm.run(payload(HELLO)) == DONE


def test_job_whose_server_ended_before_it_read_the_message_runs_in_another(guest: LocalGuest, warm: Warm) -> None:
    warm.run(payload(HELLO))
    first = warm.directory()

    def kill(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        for pid in warm.processes() if first.exists() else []:
            os.kill(pid, signal.SIGKILL)
        reply = usual(arguments)
        wait_until(lambda: not first.exists())
        return reply

    guest.replace("guest-file-write", kill)
    started = time.monotonic()
    assert warm.run(payload(HELLO)) == DONE
    assert time.monotonic() - started < 20


def test_job_survives_the_end_of_its_server(warm: Warm, tmp_path: pathlib.Path) -> None:
    warm.run(payload(HELLO))
    server, started = warm.server(), tmp_path / "started"
    source = f"import time; open({str(started)!r}, 'w').close(); time.sleep(1); print('hello')"

    def kill() -> None:
        wait_until(started.exists)
        os.kill(server, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    assert warm.run(payload(source)) == DONE
    thread.join()
    wait_until(lambda: not warm.directories())


def test_job_whose_supervisor_was_killed_has_an_unknown_outcome(warm: Warm) -> None:
    warm.run(payload(HELLO))
    with pytest.raises(OutcomeUnknown, match=r"ansible\.builtin\.test: its process in the guest has ended"):
        warm.run(payload("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"))
    assert warm.run(payload(HELLO)) == DONE


@pytest.mark.usefixtures("short_claim")
def test_job_that_nobody_claims_is_withdrawn_and_never_runs(warm: Warm, tmp_path: pathlib.Path) -> None:
    warm.run(payload(HELLO))
    server, marker = warm.server(), tmp_path / "ran"
    os.kill(server, signal.SIGSTOP)
    assert warm.run(payload(f"open({str(marker)!r}, 'w').close()")) is None
    os.kill(server, signal.SIGCONT)
    wait_until(lambda: not is_alive(server))
    assert not marker.exists()


def test_job_after_an_interrupted_message_runs(warm: Warm) -> None:
    warm.run(payload(HELLO))
    fifo = os.open(warm.directory() / "jobs", os.O_RDWR)
    os.write(fifo, b'\n{"slot": 2, "nonce": "ab')
    os.close(fifo)
    first = warm.directory()
    assert warm.run(payload(HELLO)) == DONE
    assert warm.directory() == first


def test_job_that_arrives_twice_runs_once(guest: LocalGuest, warm: Warm, tmp_path: pathlib.Path) -> None:
    warm.run(payload(HELLO))
    first, runs = warm.directory(), tmp_path / "runs"

    def write_twice(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        usual(arguments)
        return usual(arguments)

    guest.replace("guest-file-write", write_twice)
    assert warm.run(payload(f"open({str(runs)!r}, 'a').write('x')")) == CompletedProcess(0, b"", b"")
    assert warm.run(payload(HELLO)) == DONE
    assert warm.directory() == first
    time.sleep(0.5)
    assert runs.read_text(encoding="ascii") == "x"


def test_job_whose_files_were_used_before_runs_in_a_new_server(warm: Warm) -> None:
    warm.run(payload(HELLO))
    first = warm.directory()
    (first / "2.state").write_text("claimed 65536 abcdef\npid 1\nexit 0 0 0\n")
    assert warm.run(payload(HELLO)) == DONE
    assert warm.directories() - {first}


def test_results_stay_for_a_client_that_is_late(
    guest: LocalGuest, warm: Warm, monkeypatch: pytest.MonkeyPatch, limits: dict[str, float]
) -> None:
    limits["memory"] = 0.5
    monkeypatch.setattr(warm_runner, "LINGER", 20)

    def late(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        if arguments["path"].endswith(".state"):
            wait_until(lambda: not (warm.directory() / "jobs").exists())
        return usual(arguments)

    guest.replace("guest-file-open", late)
    source = "print('x' * 100000)"
    assert warm.run(payload(source)) == CompletedProcess(0, b"x" * 100000 + b"\n", b"")


def test_server_ends_after_its_last_job(warm: Warm, monkeypatch: pytest.MonkeyPatch, limits: dict[str, float]) -> None:
    limits["slots"] = 2.0
    assert [warm.run(payload(HELLO)) for dummy in range(2)] == [DONE] * 2
    wait_until(lambda: not warm.directories())
    assert SLOTS > 2


@pytest.mark.parametrize("limit", ["idle", "life", "memory"])
def test_server_ends_at_its_limits(warm: Warm, limits: dict[str, float], limit: str) -> None:
    limits[limit] = 0.5
    assert warm.run(payload(HELLO)) == DONE
    wait_until(lambda: not warm.directories())
    assert warm.run(payload(HELLO)) == DONE


def test_module_that_takes_too_long_is_killed(warm: Warm, tmp_path: pathlib.Path) -> None:
    warm.run(payload(HELLO))
    pids = tmp_path / "pids"
    source = (
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )
    with pytest.raises(ProcessTimedOut, match=r"its process group \d+ in the guest was killed"):
        warm.run(payload(source), seconds=1)
    wait_until(lambda: not any(map(is_alive, map(int, pids.read_text().split()))))
    assert warm.run(payload(HELLO)) == DONE


def test_plays_at_the_same_time_have_servers_of_their_own(warm: Warm) -> None:
    results: list[CompletedProcess | None] = []
    source = "import time; time.sleep(0.5); print('hello')"
    warm.run(payload(source))

    # The channel of a test serves one thread at a time, so that the first play's lock is enough.
    from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import open_record

    with open_record("guest", "key" + PYTHON) as record:
        assert record is not None
        results.append(warm.run(payload(source)))
    assert results == [DONE]
    assert len(warm.directories()) == 2


@pytest.mark.parametrize(
    "content", [{"retry_at": "soon"}, {"retry_at": 10**400}, {"name": [], "sent": [{}]}], ids=range(3)
)
def test_damaged_record_is_replaced(warm: Warm, content: dict[str, t.Any]) -> None:
    from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import open_record

    with open_record("guest", "key" + PYTHON) as record:
        assert record is not None and record.write(content)
    assert warm.run(payload(HELLO)) == DONE


class Lost:
    """Loses the reply to the call with a given number of a command, or forgets all handles before it."""

    def __init__(self, guest: LocalGuest, command: str, number: int) -> None:
        self._left = number
        guest.replace(command, self)

    def __call__(self, usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        self._left -= 1
        reply = usual(arguments)
        return NO_REPLY if self._left == 0 else reply


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("command", ["guest-file-open", "guest-file-write", "guest-file-read", "guest-file-close"])
def test_job_runs_once_although_a_reply_is_lost(
    guest: LocalGuest, warm: Warm, tmp_path: pathlib.Path, command: str, number: int
) -> None:
    marker = tmp_path / "runs"
    source = f"file = open({str(marker)!r}, 'a'); file.write('x'); file.close(); print('hello')"
    warm.run(payload(HELLO))
    Lost(guest, command, number)
    result = warm.run(payload(source))
    guest.handles.clear()
    ran = marker.read_text() if marker.exists() else ""
    assert (ran, result) == ("x", DONE)


def test_agent_that_was_restarted_goes_on_with_the_job(guest: LocalGuest, warm: Warm) -> None:
    warm.run(payload(HELLO))
    reads = 0

    def forget(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        nonlocal reads
        reads += 1
        if reads == 3:
            for descriptor in guest.handles.values():
                os.close(descriptor)
            guest.handles.clear()
        return usual(arguments)

    guest.replace("guest-file-read", forget)
    assert warm.run(payload("import time; time.sleep(0.3); print('hello')")) == DONE
    assert reads > 3
