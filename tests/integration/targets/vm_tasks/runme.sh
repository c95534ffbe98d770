#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Run ordinary tasks on virtual machines: those that work in every guest, those that need a whole system, and privilege
# escalation, and the playbook of the README. VM_GUESTS selects other guests than the default ones, and VM_HOSTS is a
# pattern for their endpoints.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"
targets="${collection}/tests/integration/targets"

read -ra guests <<< "${VM_GUESTS:-bookworm qemu}"
tested="${VM_HOSTS:-${guests[0]}}"
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

exec {served}< <(exec python "${collection}/tests/guests/http_destination.py")
server=$!
trap 'kill "${server}" || true; remove_lab' EXIT
read -ru "${served}" served_port
ansible-playbook -i "${inventory}" forwards.yml -e served_port="${served_port}" -e tested="${tested}" "$@"

# The playbook of the README, with a proxy that has a repository.
mkdir "${work}/repository" "${work}/readme"
exec {served}< <(exec python "${collection}/tests/guests/package_repository.py" "${work}/repository")
repository=$!
trap 'kill "${server}" "${repository}" || true; remove_lab' EXIT
read -ru "${served}" url
echo 'Welcome to {{ inventory_hostname }}' > "${work}/readme/motd.j2"
sed -e '1,/^# site.yml/d' -e '/^\W*$/Q' "${collection}/README.md" > "${work}/readme/site.yml"
printf '[vms]\n%s\n' "${guests[0]}" > "${work}/readme/hosts"
readme=(ansible-playbook -i "${inventory}" -i "${work}/readme/hosts")
"${readme[@]}" repository.yml -e work="${work}" "$@"
forwards="{ansible_qga_remote_forwards: ['3128:127.0.0.1:${url##*:}']}"
ANSIBLE_GATHERING=explicit "${readme[@]}" "${work}/readme/site.yml" -e "${forwards}" "$@"
"${readme[@]}" site_was_played.yml "$@"

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
