# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module has an action, which Ansible runs instead of the module."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from ansible_collections.netless.qga import plugins
from ansible_collections.netless.qga.plugins.plugin_utils.agent_action import AgentAction

PLUGINS = "ansible_collections.netless.qga.plugins"
MODULES = sorted(path.stem for path in (Path(next(iter(plugins.__path__))) / "modules").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_action_carries_out_the_operation_of_its_module(name: str) -> None:
    action = importlib.import_module(f"{PLUGINS}.action.{name}").ActionModule
    assert issubclass(action, AgentAction)
    assert action.operation is importlib.import_module(f"{PLUGINS}.modules.{name}").OPERATION
