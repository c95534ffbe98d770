# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ansible-core's own targets and ours on real guest agents, cold and warm, and compares the results exactly.

Every run has a new guest and a new controller, so that both begin from the same state.
"""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible import release
from packaging.version import Version

from ansible_collections.netless.qga.tests.core_targets.controller import TIMED_OUT, Controller, Run
from ansible_collections.netless.qga.tests.core_targets.records import differences
from ansible_collections.netless.qga.tests.core_targets.targets import (
    LAST_CORE,
    LONG,
    PACKAGES,
    QUICK,
    SUITE,
    WITHOUT_MODULES,
)
from ansible_collections.netless.qga.tests.guests import trees
from ansible_collections.netless.qga.tests.guests.core_source import core_source
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

HAZARDS = pathlib.Path(__file__).resolve().parent / "hazards"
TIMEOUT = 900.0
"""Seconds for one target; the longest takes a fifth of it on an idle machine."""


@pytest.fixture(scope="session")
def tree() -> pathlib.Path:
    return trees.build(SUITE, PACKAGES)


def run_cold_and_warm(tree: pathlib.Path, run: t.Callable[[Controller], Run], run_as: str = "root") -> tuple[Run, Run]:
    """Run something with tasks in new interpreters, and at the same time elsewhere in kept ones."""

    def run_in_guest(warm: bool) -> Run:
        with (
            SandboxedAgent(tree, run_as=run_as) as guest,
            tempfile.TemporaryDirectory(prefix="core-targets-") as work,
        ):
            return run(Controller(guest, pathlib.Path(work), warm=warm))

    with ThreadPoolExecutor(2) as pool:
        cold, warm = (pool.submit(run_in_guest, warm) for warm in (False, True))
        return cold.result(), warm.result()


def check(cold: Run, warm: Run, *, has_modules: bool = True) -> None:
    """Fail unless both runs succeeded with the same results.

    :param has_modules: whether some modules have to run in a kept interpreter.
    """
    assert cold.status == 0, f"cold:\n{cold.output[-5000:]}"
    assert cold.records
    found = differences(cold.records, warm.records)
    assert not found, "\n".join(found)
    assert warm.status == 0, f"warm:\n{warm.output[-5000:]}"
    assert not cold.warm_modules
    assert warm.warm_modules or not has_modules


@pytest.mark.parametrize("target", [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)])
def test_target_of_ansible_core(tree: pathlib.Path, target: str) -> None:
    if not (core_source() / "test" / "integration" / "targets" / target).is_dir():
        pytest.skip("this ansible-core does not have it")
    core = ".".join(release.__version__.split(".")[:2])
    if Version(core) > Version(LAST_CORE.get(target, core)):
        pytest.skip("this ansible-core runs it on the controller")
    cold, warm = run_cold_and_warm(tree, lambda controller: controller.run_target(target, TIMEOUT))
    check(cold, warm, has_modules=target not in WITHOUT_MODULES)


def test_tasks_that_leave_traces(tree: pathlib.Path) -> None:
    playbooks = ["first/tasks.yml", "second/tasks.yml"]
    check(*run_cold_and_warm(tree, lambda controller: controller.run_playbooks(HAZARDS, playbooks, TIMEOUT)))


def test_tasks_that_escalate_with_a_password(tree: pathlib.Path) -> None:
    playbooks = ["passwords/tasks.yml"]
    run_as = trees.SUDO_PASSWORD_USER
    check(*run_cold_and_warm(tree, lambda controller: controller.run_playbooks(HAZARDS, playbooks, TIMEOUT), run_as))


def test_controller_cannot_write_to_the_machine(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    playbook = tmp_path / "playbooks" / "tasks.yml"
    playbook.parent.mkdir()
    outside = ["/root/outside", "/etc/outside", "/tmp/outside", "/var/tmp/outside"]
    playbook.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        f"    - ansible.builtin.command: touch {' '.join(outside)} /mnt/tmp/inside\n"
        "    - ansible.builtin.command: touch /usr/outside\n      register: result\n      failed_when: result.rc == 0\n"
    )
    cold, dummy = run_cold_and_warm(
        tree, lambda controller: controller.run_playbooks(playbook.parent, ["tasks.yml"], TIMEOUT)
    )
    assert cold.status == 0, cold.output
    assert not any(pathlib.Path(path).exists() for path in outside)


def test_timeout_leaves_no_process(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    playbook = tmp_path / "playbooks" / "tasks.yml"
    playbook.parent.mkdir()
    playbook.write_text("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - command: sleep 4712\n")
    cold, warm = run_cold_and_warm(tree, lambda controller: controller.run_playbooks(playbook.parent, ["tasks.yml"], 5))
    assert (cold.status, warm.status) == (TIMED_OUT, TIMED_OUT)
    processes = subprocess.run(["ps", "-e", "-o", "args="], check=True, capture_output=True, text=True).stdout
    assert "sleep 4712" not in processes
