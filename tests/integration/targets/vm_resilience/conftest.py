# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: the guest of a running lab, and the tasks that are disturbed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import Guest
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.observed_task import ObservedTask

ALL = os.environ.get("VM_FAULTS") == "all"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "by_hand: takes too long for every run; VM_FAULTS=all includes it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not ALL and item.get_closest_marker("by_hand")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def guest() -> Guest:
    return Guest(pathlib.Path(os.environ["NETLESS_LAB"]))


@pytest.fixture
def task(guest: Guest) -> t.Iterator[ObservedTask]:
    """Provide a task that is to be disturbed, and check afterwards that the next one is right."""
    with contextlib.closing(ObservedTask(guest)) as task:
        yield task
    guest.wait_until_up()
    with contextlib.closing(ObservedTask(guest)) as following:
        result = following.run_program()
        assert result == following.right_result
        following.check(result)
