#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The tests that ansible-core has for its own connection plugins, on virtual machines and over every endpoint of theirs
# that is quick enough for them, and the simplest tasks over the serial line. VM_GUESTS names other guests.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"

read -ra guests <<< "${VM_GUESTS:-bookworm qemu}"
lab up "${guests[@]}"

# They go through the hosts one by one. So the guests are worked on at the same time, each with its endpoints in turn.
tests=()
for guest in "${guests[@]}"; do
    "${collection}/tests/guests/connection_tests.sh" "${inventory}" "~^${guest}(-(channel|unix|tcp))?$" "$@" \
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
