# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of the module time_info."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.modules.time_info import OPERATION
from ansible_collections.netless.qga.plugins.plugin_utils.agent_action import AgentAction


class ActionModule(AgentAction):
    operation = OPERATION
