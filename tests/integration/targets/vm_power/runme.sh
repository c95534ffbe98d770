#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Guests that are off, absent, paused or frozen: each state has its own error. Ansible's own tasks for rebooting work.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"

lab up bookworm

ansible-playbook -i "${inventory}" states.yml "$@"
ansible-playbook -i "${inventory}" cycle.yml "$@"
