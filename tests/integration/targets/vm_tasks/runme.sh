#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Run ordinary tasks on virtual machines: those that work in every guest, those that need a whole system, and privilege
# escalation. VM_GUESTS selects other guests than the default ones, and VM_HOSTS is a pattern for their endpoints.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"
targets="${collection}/tests/integration/targets"

read -ra guests <<< "${VM_GUESTS:-bookworm qemu}"
tested="${VM_HOSTS:-guests}"
lab up "${guests[@]}"

ansible-playbook -i "${inventory}" "${targets}/connection_tasks/tasks.yml" -e work="${work}" -e tested="${tested}" \
    -e other_guest=qemu "$@"

# Build a package that exists nowhere else and contains a service.
mkdir -p "${work}/package/DEBIAN" "${work}/package/usr/lib/systemd/system"
cat > "${work}/package/DEBIAN/control" <<CONTROL
Package: netless-test
Version: 1.0
Architecture: all
Maintainer: the netless.qga authors <root@localhost>
Description: a service to install in a guest that has no network
CONTROL
cp files/netless-test.service "${work}/package/usr/lib/systemd/system"
dpkg-deb --root-owner-group --build "${work}/package" "${work}/netless-test.deb"
ansible-playbook -i "${inventory}" system.yml -e work="${work}" -e tested="${tested}" "$@"

ansible-playbook -i "${inventory}" ordinary_users.yml -e tested="${guests[0]}:qemu" "$@"
endpoint() { ansible-inventory -i "${inventory}" --host "$1" | python -c "import json, sys; print(json.load(sys.stdin)['$2'])"; }
cat > "${work}/users" <<INVENTORY
[guests]
alice ansible_qga_endpoint=$(endpoint qemu-restricted ansible_qga_endpoint)
bob ansible_host=$(endpoint "${guests[0]}" ansible_host) ansible_qga_endpoint=libvirt:io.netless.restricted.0
[guests:vars]
ansible_connection=netless.qga.guest_agent
INVENTORY
"${collection}/tests/guests/passwords.sh" > "${work}/passwords.yml"
ansible-playbook -i "${work}/users" "${targets}/connection_become/become.yml" -e "@${work}/passwords.yml" "$@"
