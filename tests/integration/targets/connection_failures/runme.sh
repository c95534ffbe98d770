#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Hosts that cannot be reached and tasks that cannot be carried out: each error names its cause.
set -euxo pipefail

# shellcheck source=tests/guests/target.sh
. "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests/target.sh"

for profile in frozen frozen_newer_text silence cut; do
    python "${guests}/scripted_agent.py" "${work}/${profile}" --profile "${profile}" &
    started+=("$!")
done
# A client that takes the only place of a socket and keeps it.
mkfifo "${work}/endless"
exec 9<>"${work}/endless"
whole="$(start_guest whole --suite trixie)"
blocked="$(start_guest blocked --suite bookworm --block guest-exec)"
mortal="$(start_guest mortal --suite bookworm)"
held="$(start_guest held --suite bookworm)"
socat - "UNIX-CONNECT:${held#unix:}" < "${work}/endless" &
started+=("$!")
python -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "${work}/nobody"

cat > "${work}/inventory" <<INVENTORY
all:
  hosts:
    whole: {ansible_qga_endpoint: "${whole}"}
    blocked: {ansible_qga_endpoint: "${blocked}"}
    mortal: {ansible_qga_endpoint: "${mortal}"}
    held: {ansible_qga_endpoint: "${held}"}
    frozen: {ansible_qga_endpoint: "unix:${work}/frozen"}
    frozen_newer_text: {ansible_qga_endpoint: "unix:${work}/frozen_newer_text"}
    silent: {ansible_qga_endpoint: "unix:${work}/silence"}
    cut: {ansible_qga_endpoint: "unix:${work}/cut"}
    nobody: {ansible_qga_endpoint: "unix:${work}/nobody"}
    missing: {ansible_qga_endpoint: "unix:${work}/missing"}
    no_directory: {ansible_qga_endpoint: "unix:${work}/inventory/socket"}
    no_socket: {ansible_qga_endpoint: "unix:${work}/inventory"}
    too_long: {ansible_qga_endpoint: "unix:${work}/$(printf '%0100d' 0)"}
    no_program: {ansible_qga_endpoint: "exec:/no/such/relay"}
    ends: {ansible_qga_endpoint: "exec:sh -c 'echo no route to hypervisor >&2; exit 7'"}
    no_endpoint: {ansible_qga_endpoint: "telnet:host"}
  vars:
    ansible_connection: netless.qga.guest_agent
    ansible_python_interpreter: /usr/bin/python3
    ansible_timeout: 2
INVENTORY

ansible-playbook -i "${work}/inventory" failures.yml "$@"
