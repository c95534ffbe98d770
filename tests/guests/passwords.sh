#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prints the passwords of the guests' accounts, as variables for a playbook.
set -eu
PYTHONPATH="${ANSIBLE_COLLECTIONS_PATH}" python -c '
import json
from ansible_collections.netless.qga.tests.guests import trees
print(json.dumps({"bobs_password": trees.SUDO_PASSWORD_USER_PASSWORD, "roots_password": trees.ROOT_PASSWORD}))'
