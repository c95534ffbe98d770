#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Run ansible-core's tests for connection plugins on virtual machines, and simple tasks over the serial line. VM_GUESTS
# selects other guests, and VM_ENDPOINTS='channel|unix|tcp' more of their endpoints.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"

read -ra guests <<< "${VM_GUESTS:-bookworm qemu}"
lab up "${guests[@]}"

# The tests go through the hosts one by one. So run them on all guests at once, each with one endpoint after the other.
tests=()
for guest in "${guests[@]}"; do
    "${collection}/tests/guests/connection_tests.sh" "${inventory}" "~^${guest}(-(${VM_ENDPOINTS:-channel}))?$" "$@" \
        > "${work}/${guest}.log" 2>&1 &
    tests+=($!)
done
status=0
for test in "${tests[@]}"; do
    wait "${test}" || status=$?
done
cat "${work}"/*.log
[ "${status}" = 0 ]

ansible-playbook -i "${inventory}" serial.yml "$@"
