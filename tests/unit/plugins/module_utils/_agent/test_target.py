# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an agent is and how long to wait for it."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address

UNIX = Address("unix:/run/vms/web1.sock", "web1", "qemu:///session")


@pytest.mark.parametrize("target", [Target(Address()), Target(UNIX, 5.0, 50.0, 7.5, 4096)])
def test_target_survives_json(target: Target) -> None:
    copy = Target.from_dict(json.loads(json.dumps(target.as_dict())))
    assert replace(copy, log=target.log) == target


def test_as_dict_holds_every_field_except_log() -> None:
    assert {field.name for field in fields(Target)} - set(Target(UNIX).as_dict()) == {"log"}
