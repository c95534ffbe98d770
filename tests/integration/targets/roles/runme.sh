#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The parts of the role prepare_guest that need no system in the guest: configuration files as distributions deliver
# them, read by a real agent, and SELinux with stand-ins for its programs.
set -euxo pipefail

# shellcheck source=tests/guests/target.sh
. "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests/target.sh"

endpoint="$(start_guest guest --suite trixie)"
cat > "${work}/inventory" <<INVENTORY
guest ansible_connection=netless.qga.guest_agent ansible_qga_endpoint=${endpoint} ansible_python_interpreter=/usr/bin/python3
INVENTORY

for playbook in commands.yml selinux.yml; do
    ansible-playbook -i "${work}/inventory" "${playbook}" "$@"
done
