#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs ansible-core's tests of its own connection plugins, from its source distribution:
# connection_tests.sh INVENTORY HOSTS [ARGUMENT...], where HOSTS is a pattern.
set -euxo pipefail

inventory="$1" hosts="$2"
shift 2

core="$(python "$(dirname "$0")/core_source.py")"
work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT

cp -r "${core}/test/integration/targets/connection" "${work}/connection"
cd "${work}/connection"
INVENTORY="${inventory}" ./test.sh "$@" \
    -e target_hosts="${hosts}" -e action_prefix= -e local_tmp="${work}/local" -e remote_tmp=/tmp/remote
