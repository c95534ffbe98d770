#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Both kinds of endpoints of libvirt, with a real virtual machine under a libvirtd of this target's own.
set -euxo pipefail

collection="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga"
# shellcheck source=tests/lab/target.sh
. "${collection}/tests/lab/target.sh"

lab up bookworm
# The names of domains are the same in every lab, so that only one can run.
second="$( (cd "${collection}" && python -m tests.lab up bookworm --state "${work}/second" 2>&1) || true)"
[[ "${second}" == *"tests.lab down --state ${work}/lab"* ]]
NETLESS_LAB="${work}/lab" PYTHONPATH="${ANSIBLE_COLLECTIONS_PATH}" \
    python -m pytest -v -p no:cacheprovider --rootdir . .
