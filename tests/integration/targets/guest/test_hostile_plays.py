# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays on guests that lie: they end, in bounded memory, and the guests have no effect on the controller."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import typing as t
import unicodedata

from ansible_collections.netless.qga.tests.guests.lying_agent import (
    ESCAPES,
    OTHER_KEY,
    PROTOCOL_TEXTS,
    REMOVED,
    TEMPLATE,
    Lie,
    LyingAgent,
)
from ansible_collections.netless.qga.tests.guests.play_controller import play_environment

_MEMORY = 64 * 1024
"""How much more memory than with an honest guest each process of a play may have, in KiB."""
_TIMEOUT = 400.0
"""Seconds for a play. Each of its tasks on a guest takes some at most, and 6 run at a time."""
_FLOOD = [b"A" * (1024 * 1024)] * 256
"""A part of a reply that is larger than this."""

# What the guest's programs and modules seem to print. Each front door finds in it what it needs. There are no warnings
# of modules in it, because ansible-core itself prints them as they are.
_CONTENT = {
    "ansible_facts": {"ansible_host": TEMPLATE, "ansible_connection": "local"},
    "changed": False,
    "content": base64.b64encode(b"owned").decode("ascii"),
    "encoding": "base64",
    "msg": ESCAPES + TEMPLATE,
    "source": "../../../../../../owned",
    "stat": {"exists": True, "isdir": False, "path": "../../../../owned", "checksum": "1"},
    "stdout": ESCAPES + TEMPLATE,
}


def _read(data: bytes, eof: bool = True) -> dict[str, t.Any]:
    return {"count": len(data), "buf-b64": base64.b64encode(data).decode("ascii"), "eof": eof}


def _printed(text: bytes) -> str:
    return base64.b64encode(text).decode("ascii")


_TEXT = json.dumps(_CONTENT).encode("ascii")
_REPLIES: dict[str, t.Any] = {
    "guest-file-read": _read(_TEXT),
    "guest-file-seek": {"position": len(_TEXT), "eof": False},
    "guest-fsfreeze-status": "thawed",
    "guest-get-host-name": {"host-name": ESCAPES + TEMPLATE},
    "guest-get-osinfo": {"id": TEMPLATE, "name": ESCAPES, "pretty-name": ESCAPES + TEMPLATE},
    "guest-get-time": 10**18,
    "guest-get-users": [{"user": ESCAPES + TEMPLATE, "login-time": 1e308}],
    "guest-get-vcpus": [{"logical-id": 0, "online": True, "can-offline": False}],
}
LIES: dict[str, Lie] = {
    "error": ("guest-exec", (), REMOVED),
    "error_of_status": ("guest-exec-status", (), REMOVED),
    "error_of_open": ("guest-file-open", (), REMOVED),
    "user": ("guest-exec-status", ("out-data",), _printed(PROTOCOL_TEXTS[4])),
    "never_ends": ("guest-exec-status", ("exited",), False),
    "flood": ("guest-file-read", ("eof",), True),
    "huge": ("guest-file-seek", ("position",), 2**62),
    "no_end": ("guest-file-read", ("eof",), False),
    "no_number": ("guest-exec", ("pid",), ESCAPES + TEMPLATE),
    "version": ("guest-info", ("version",), ESCAPES + TEMPLATE),
    "traversal": ("guest-file-read", ("buf-b64",), _printed(_TEXT[:-1] + b"}")),
}
_CONNECTION: list[dict[str, t.Any]] = [
    {"ansible.builtin.raw": "cat", "register": "raw"},
    {"ansible.builtin.debug": {"msg": "{{ raw.stdout | default('') | length }}"}},
    {"ansible.builtin.set_fact": {"from_guest": "{{ raw.stdout | default('') }} {{ raw.msg | default('') }}"}},
    {"ansible.builtin.ping": {}},
    {"ansible.builtin.copy": {"src": "source", "dest": "/srv/there"}},
    {"ansible.builtin.fetch": {"src": "/srv/there", "dest": "fetched"}},
    {"ansible.builtin.fetch": {"src": "/srv/../../there", "dest": "fetched/", "flat": True}},
]
_MODULES: list[dict[str, t.Any]] = [
    {"netless.qga.authorized_keys": {"user": "root", "keys": [OTHER_KEY], "exclusive": True}},
    {"netless.qga.command": {"command": "guest-get-osinfo"}},
    {"netless.qga.diagnosis_info": {}},
    {"netless.qga.exec": {"argv": ["cat"]}},
    {"netless.qga.file": {"path": "/srv/there", "content": "text"}},
    {"netless.qga.file_content_info": {"path": "/srv/there"}},
    {"netless.qga.fsfreeze_info": {}},
    {"netless.qga.fstrim": {}},
    {"netless.qga.guest_facts": {}},
    {"netless.qga.guest_info": {}},
    {"netless.qga.sync": {}},
    {"netless.qga.time_info": {}},
    {"netless.qga.vcpus_info": {}},
]


class Play:
    """A play on several guests at once, and what it has left.

    :param directory: an empty directory for it.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.output = ""
        self.peak = 0
        """The peak memory of its largest process, in KiB."""

    def run(self, guests: dict[str, str], tasks: t.Sequence[t.Any]) -> None:
        """Run it.

        :param guests: the endpoints by the name of the host.
        """
        (self.directory / "source").write_text("text\n", encoding="ascii")
        variables = {
            "ansible_connection": "netless.qga.guest_agent",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_qga_exec_timeout": 3,
            "ansible_qga_persist": 0,
            "ansible_timeout": 3,
        }
        hosts = {name: {"ansible_qga_endpoint": endpoint} for name, endpoint in guests.items()}
        inventory, playbook = self.directory / "inventory.json", self.directory / "play.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="ascii")
        play = {
            "hosts": "all",
            "gather_facts": False,
            "ignore_errors": True,
            "ignore_unreachable": True,
            "strategy": "ansible.builtin.free",
            "tasks": tasks,
        }
        playbook.write_text(json.dumps([play]), encoding="ascii")
        with open(self.directory / "output", "w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), str(playbook)],
                cwd=self.directory,
                env=play_environment(self.directory, ANSIBLE_FORKS="6"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            # wait4 has no timeout. Ending Ansible ends its workers.
            limit = threading.Timer(_TIMEOUT, process.terminate)
            limit.start()
            dummy, status, usage = os.wait4(process.pid, 0)
            limit.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            self.output = output.read()
        self.peak = usage.ru_maxrss

    def left(self) -> set[str]:
        """Return the files that it has left, other than those of the test, of Ansible and of its locks."""
        paths = {str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()}
        ours = ("ansible/", "fetched/", "inventory.json", "netless-qga-", "output", "play.json", "source")
        return {path for path in paths if not path.startswith(ours)}


@contextlib.contextmanager
def listening(lies: t.Mapping[str, Lie | None]) -> t.Iterator[dict[str, str]]:
    """Provide the endpoints of guests with these lies, by the guest's name."""
    with contextlib.ExitStack() as stack:
        endpoints = {}
        for name, lie in lies.items():
            agent = LyingAgent(_REPLIES)
            agent.lie = lie
            if name == "flood":
                agent.deliveries.append(_flood)
            endpoints[name] = f"unix:{stack.enter_context(agent.listening())}"
        yield endpoints


def _flood(line: bytes) -> list[bytes]:
    before, found, after = line.partition(b'"buf-b64": "')
    return [before + found, *_FLOOD, after] if found else [line]


def spread(tasks: t.Sequence[dict[str, t.Any]], hosts: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """Return tasks of which each runs on another host."""
    return [
        {**task, "when": f"inventory_hostname == '{hosts[number % len(hosts)]}'"} for number, task in enumerate(tasks)
    ]


def test_lies_do_no_harm_to_the_controller(tmp_path: pathlib.Path) -> None:
    honest, lied = Play(tmp_path / "honest"), Play(tmp_path / "work" / "lied")
    for play in (honest, lied):
        play.directory.mkdir(parents=True)
    with listening({"honest": None}) as guests:
        honest.run(guests, _CONNECTION)
    first, *others = _CONNECTION
    # Each program on the guest where none ends takes its whole deadline.
    quick = [name for name in LIES if name != "never_ends"]
    others = [{"when": "inventory_hostname != 'never_ends'", **task} for task in others]
    with listening(LIES) as guests:
        lied.run(guests, [first, *others, *spread(_MODULES, quick)])
    assert lied.output.count("PLAY RECAP") == 1
    recap = lied.output.partition("PLAY RECAP")[2]
    assert all(name in recap for name in LIES), recap
    assert lied.peak < honest.peak + _MEMORY
    for play in (honest, lied):
        escapes = {char for char in play.output if unicodedata.category(char) == "Cc" and char != "\n"}
        assert not escapes, play.output
        assert play.left() == set()
        names = {path.name for path in (play.directory / "fetched").rglob("*") if path.is_file()}
        assert names <= {"there"}
    # Nothing above the directories either.
    assert {path.name for path in tmp_path.iterdir()} == {"honest", "work"}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"lied"}
