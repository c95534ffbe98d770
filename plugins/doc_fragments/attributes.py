# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The attributes that every module describes, and its membership in the action group."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: In check mode, reports what it would change and changes nothing.
  diff_mode:
    description: In diff mode, returns what it changed, before and after.
  idempotent:
    description: When run again at once with the same options, reports no change.
  platform:
    description: The operating systems of the guests that it supports.
"""

    ACTIONGROUP_QGA = r"""
options: {}
attributes:
  action_group:
    description: Takes its defaults from C(group/netless.qga.qga) in C(module_defaults).
    support: full
    membership:
      - netless.qga.qga
"""

    FACTS = r"""
options: {}
attributes:
  facts:
    description: Returns C(ansible_facts), which Ansible adds to the facts of the host.
"""
