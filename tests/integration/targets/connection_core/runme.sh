#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The tests of ansible-core for its own connection plugins, on each guest, and on one of them through a program.
set -euxo pipefail

# shellcheck source=tests/guests/target.sh
. "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests/target.sh"
suites="bullseye bookworm trixie forky"

{
    echo "[qga]"
    for suite in ${suites}; do
        endpoint="$(start_guest "${suite}" --suite "${suite}")"
        echo "${suite}-pipelining ansible_pipelining=true ansible_qga_endpoint=${endpoint}"
        echo "${suite}-no-pipelining ansible_pipelining=false ansible_qga_endpoint=${endpoint}"
    done
    # This tests another endpoint of the same agent, so any guest will do. Their tasks alternate, and do not know of each
    # other, so none keeps the channel.
    echo "${suite}-exec ansible_qga_endpoint='exec:socat - UNIX-CONNECT:${endpoint#unix:}' ansible_qga_persist=0"
    echo "[same_agent]"
    echo "${suite}-pipelining"
    echo "${suite}-no-pipelining"
    echo "[same_agent:vars]"
    echo "ansible_qga_persist=0"
    echo "[qga:vars]"
    echo "ansible_connection=netless.qga.guest_agent"
    echo "ansible_python_interpreter=/usr/bin/python3"
    # The tests check that this name is not in the output.
    echo "ansible_host=the-host"
} > "${work}/inventory"

"${guests}/connection_tests.sh" "${work}/inventory" qga "$@"
