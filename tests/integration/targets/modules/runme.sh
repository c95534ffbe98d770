#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs the modules with an old agent, a new one, and one that may neither run programs nor handle files; over the host's
# own connection, and on the host that has the socket.
set -euxo pipefail

# shellcheck source=tests/guests/target.sh
. "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests/target.sh"

bullseye="$(start_guest bullseye --suite bullseye)"
forky="$(start_guest forky --suite forky)"
without_exec="$(start_guest without_exec --suite bookworm \
    --block guest-exec,guest-exec-status,guest-file-open,guest-file-read,guest-file-write,guest-file-close)"
cat > "${work}/inventory" <<INVENTORY
[agents]
bullseye ansible_qga_endpoint=${bullseye}
forky ansible_qga_endpoint=${forky}
[restricted]
without_exec ansible_qga_endpoint=${without_exec}
[all:vars]
ansible_connection=netless.qga.guest_agent
[controller]
localhost ansible_connection=local ansible_python_interpreter=$(command -v python)
INVENTORY

# ansible-core 2.19 uses this one for a delegated task in the background, even if the inventory names another.
ANSIBLE_PYTHON_INTERPRETER="$(command -v python)"
export ANSIBLE_PYTHON_INTERPRETER

# shellcheck disable=SC2086 # It may be several words.
for playbook in ${PLAYBOOKS:-*.yml}; do
    ansible-playbook -i "${work}/inventory" -e work="${work}" "${playbook}" "$@"
done
