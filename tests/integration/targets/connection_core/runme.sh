#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs the tests that ansible-core has for its own connection plugins, from its source distribution, on each guest.
set -euxo pipefail

guests="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests"
suites="bullseye bookworm trixie forky"

version="$(python -c 'from ansible.release import __version__; print(__version__)')"
cache="${XDG_CACHE_HOME:-${HOME}/.cache}/netless-qga/ansible-core"
core="${cache}/ansible_core-${version}"
work="$(mktemp -d)"

stop() {
    for suite in ${suites}; do
        python "${guests}/sandbox.py" stop --state "${work}/${suite}"
    done
    rm -rf "${work}"
}
trap stop EXIT

if ! [ -d "${core}" ]; then
    python -m pip download --quiet --no-deps --no-binary :all: --dest "${work}" "ansible-core==${version}"
    tar --extract --gzip --directory "${work}" --file "${work}/ansible_core-${version}.tar.gz"
    mkdir -p "${cache}"
    mv "${work}/ansible_core-${version}" "${core}"
fi

{
    echo "[qga]"
    for suite in ${suites}; do
        endpoint="$(python "${guests}/sandbox.py" start --state "${work}/${suite}" --suite "${suite}")"
        echo "${suite}-pipelining ansible_pipelining=true ansible_qga_endpoint=${endpoint}"
        echo "${suite}-no-pipelining ansible_pipelining=false ansible_qga_endpoint=${endpoint}"
    done
    echo "[qga:vars]"
    echo "ansible_connection=netless.qga.guest_agent"
    echo "ansible_python_interpreter=/usr/bin/python3"
    # The tests look for this name in the output, where it must not be.
    echo "ansible_host=the-host"
} > "${work}/inventory"

cp -r "${core}/test/integration/targets/connection" "${work}/connection"
cd "${work}/connection"
INVENTORY="${work}/inventory" ./test.sh "$@" \
    -e target_hosts=qga -e action_prefix= -e local_tmp="${work}/local" -e remote_tmp=/tmp/remote
