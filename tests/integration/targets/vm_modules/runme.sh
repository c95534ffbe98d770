#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What only a virtual machine can show of the modules: filesystems that freeze, guests that stop and restart, clocks,
# passwords and keys. One guest is a libvirt domain, the other a QEMU without libvirt. PLAYBOOKS="reading.yml
# diagnosing.yml" shows what agents in sandboxes show too.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"
# Modules that are killed leave something behind.
export TMPDIR="${work}"

lab up bookworm qemu

for playbook in ${PLAYBOOKS:-accounts.yml clock.yml freezing.yml power.yml}; do
    ansible-playbook -i "${inventory}" -e work="${work}" "${playbook}" "$@"
done
