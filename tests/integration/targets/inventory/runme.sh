#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The inventory of domains, with many real agents in sandboxes, and others that hang, lie or serve another client.
set -euxo pipefail
# ansible-test sets one for inventories of its own.
export ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3
PYTHONPATH="${ANSIBLE_COLLECTIONS_PATH}" python -m pytest -v -p no:cacheprovider --rootdir . .
