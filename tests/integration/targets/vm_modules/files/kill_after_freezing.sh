#!/bin/sh
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# kill_after_freezing.sh INVENTORY HOST PLAYBOOK: runs a play until it says that it has frozen, and kills it then, as
# nobody can who means well.
set -eu

output="$(mktemp)"
# A process group of its own.
setsid ansible-playbook -i "$1" -l "$2" "$3" > "${output}" 2>&1 &
play=$!

tries=300
until grep -q 'THE GUEST IS FROZEN' "${output}"; do
    tries=$((tries - 1))
    if [ "${tries}" = 0 ] || ! kill -0 "${play}"; then
        cat "${output}"
        exit 1
    fi
    sleep 0.1
done
kill -s KILL -- "-${play}"
rm -f "${output}"
