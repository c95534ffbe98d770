#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Starts the lab, and explains how to use it with the collection of this checkout.

set -eu
cd "$(dirname "$0")/.."

dev/install_collection.sh
.venv/bin/python -m tests.lab up "$@"
inventory=${XDG_CACHE_HOME:-$HOME/.cache}/netless-qga/lab/inventory.yml
echo "To use it with the collection of this checkout and its Ansible:"
echo "    export PATH=$PWD/.venv/bin:\$PATH ANSIBLE_COLLECTIONS_PATH=$PWD/.venv/collections"
echo "    ansible -i $inventory guests:other_endpoints -m ansible.builtin.ping --forks 1"
