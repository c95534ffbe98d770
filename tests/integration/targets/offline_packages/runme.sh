#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Packages for guests without a network: the oldest apt and the newest one, and a repository on the loopback.
set -euxo pipefail

guests="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests"
# shellcheck source=tests/guests/target.sh
. "${guests}/target.sh"

mkdir "${work}/repository" "${work}/tmp"
mkfifo "${work}/url"
python "${guests}/package_repository.py" "${work}/repository" > "${work}/url" &
started+=("$!")
read -r url < "${work}/url"
bullseye="$(start_guest bullseye --suite bullseye)"
forky="$(start_guest forky --suite forky)"
cat > "${work}/inventory" <<INVENTORY
[guests]
bullseye ansible_qga_endpoint=${bullseye}
forky ansible_qga_endpoint=${forky}
[guests:vars]
ansible_connection=netless.qga.guest_agent
ansible_python_interpreter=/usr/bin/python3
INVENTORY

# ansible-test sets one for inventories of its own.
ANSIBLE_PYTHON_INTERPRETER="$(command -v python)"
# apt's user for downloads has to reach what the role makes there.
chmod 0711 "${work}"
TMPDIR="${work}/tmp"
chmod 1777 "${TMPDIR}"
# Most tasks run on the controller, where this saves the most.
ANSIBLE_PIPELINING=true
export ANSIBLE_PIPELINING ANSIBLE_PYTHON_INTERPRETER TMPDIR

play() {
    ansible-playbook -i "${work}/inventory" -e work="${work}" -e url="${url}" "$@"
}

play prepare.yml "$@"
play preview.yml --check "$@"
play install.yml "$@"

# A second run changes nothing and downloads nothing.
requests="$(wc -l < "${work}/repository/requests")"
play again.yml "$@" | tee "${work}/output"
[ "$(grep -c 'changed=0 ' "${work}/output")" = 2 ]
[ "$(wc -l < "${work}/repository/requests")" = "${requests}" ]

play failures.yml "$@"

# Nothing is left on the controller.
[ -z "$(find "${TMPDIR}" -name '*.offline_packages')" ]
