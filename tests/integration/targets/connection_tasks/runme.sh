#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Ordinary tasks on a guest, with and without pipelining.
set -euxo pipefail

# shellcheck source=tests/guests/target.sh
. "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests/target.sh"

first="$(start_guest first --suite bookworm)"
second="$(start_guest second --suite trixie)"
cat > "${work}/inventory" <<INVENTORY
[guests]
pipelining ansible_pipelining=true ansible_qga_endpoint=${first}
no_pipelining ansible_pipelining=false ansible_qga_endpoint=${first}
# A relay program, as for a socket on another machine.
relay "ansible_qga_endpoint='exec:socat - UNIX-CONNECT:${second#unix:}'"
[guests:vars]
ansible_connection=netless.qga.guest_agent
ansible_python_interpreter=/usr/bin/python3
INVENTORY

ansible-playbook -i "${work}/inventory" tasks.yml -e work="${work}" "$@"

# Like AWX: nothing in the inventory, and environment variables with names that AWX credentials may set.
QGA_ENDPOINT="${first}" QGA_CONNECT_TIMEOUT=20 ansible all -i guest, -c netless.qga.guest_agent \
    -e ansible_python_interpreter=/usr/bin/python3 -m ansible.builtin.ping "$@"

# Even at the highest verbosity, the output has neither arguments nor transferred contents.
ANSIBLE_LOG_PATH="${work}/log" ansible all -i "${work}/inventory" -l relay -vvvvv -m ansible.builtin.raw \
    -a 'echo do-not-show-ar""guments | tr a-z A-Z >/dev/null' > "${work}/output"
grep "guest-exec: [0-9]* bytes sent" "${work}/output"
if grep -E 'do-not-show|ZG8tbm90LXNob3' "${work}/output" "${work}/log"; then exit 1; fi
