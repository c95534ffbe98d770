#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Tasks survive what happens to virtual machines: snapshots, a restarted libvirtd, a restarted agent, and other plays.
# With VM_FAULTS=all, the tests do more of it than there is time for in every run.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"

lab up bookworm qemu

ansible-playbook -i "${inventory}" snapshots.yml -e lab="${work}/lab" "$@"
ansible-playbook -i "${inventory}" libvirtd.yml -e lab="${work}/lab" -e collection="${collection}" "$@"
if [ "${VM_FAULTS:-}" = all ]; then
    ansible-playbook -i "${inventory}" agent_upgrade.yml "$@"
    ANSIBLE_FORKS=20 ansible-playbook -i "${inventory}" hardships.yml "$@"
fi
NETLESS_LAB="${work}/lab" PYTHONPATH="${ANSIBLE_COLLECTIONS_PATH}" \
    python -m pytest -v -p no:cacheprovider --rootdir . .

# Run two plays on the same guests at once.
ansible-playbook -i "${inventory}" together.yml -e play=first "$@" &
first=$!
ansible-playbook -i "${inventory}" together.yml -e play=second "$@"
wait "${first}"
