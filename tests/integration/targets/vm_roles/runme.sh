#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The roles with a real libvirtd: domains in every state, and with VM_ROLES=all a guest that gets another channel and an
# agent on it, which takes minutes without KVM.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"

lab up bookworm

# run CHANGES PLAYBOOK [OPTION...]: all hosts of the play together have to report this number of changed tasks.
run() {
    local expected="$1"
    shift
    ansible-playbook -i "${inventory}" "$@" | tee "${work}/output"
    test "$(sed -n 's/.* changed=\([0-9]*\) .*/\1/p' "${work}/output" | awk '{ sum += $1 } END { print sum }')" = "${expected}"
}

unpredicted="$(virsh -c qemu:///system dumpxml netless-without-channel)"
run 1 domain.yml --check -e prepare_domain_name=netless-without-channel
test "$(virsh -c qemu:///system dumpxml netless-without-channel)" = "${unpredicted}"

run 1 domain.yml -e prepare_domain_name=netless-without-channel -e restart_needed=true
virsh -c qemu:///system destroy netless-without-channel
virsh -c qemu:///system start netless-without-channel
run 0 domain.yml -e prepare_domain_name=netless-without-channel
run 1 domain.yml -e prepare_domain_name=netless-off

ansible-playbook -i "${inventory}" refusals.yml

if [ "${VM_ROLES:-}" != all ]; then
    exit
fi

# The lab's own rules start no agent on a channel with this name.
channel=org.example.agent.0
run 1 domain.yml -e prepare_domain_name=netless-bookworm -e "{prepare_domain_channels: [${channel}]}"
# Five: a service, a rule, loading both, and the agent. The package is there already.
run 5 guest.yml -e "prepare_guest_channel=${channel}"
run 0 guest.yml -e "prepare_guest_channel=${channel}"
ansible -i "${inventory}" bookworm -m netless.qga.sync -e "ansible_qga_endpoint=libvirt:${channel}"
