#!/bin/sh
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# kill_after_freezing.sh INVENTORY HOST PLAYBOOK: run a play until it reports that it has frozen the guest, then kill it
# with SIGKILL, which it cannot handle.
set -eu

output="$(mktemp)"
ansible-playbook -i "$1" -l "$2" "$3" > "${output}" 2>&1 &
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
# Its workers are sessions of their own, and would wait for ever for a play that is gone.
workers="$(grep -lE "^PPid:[[:space:]]+${play}\$" /proc/[0-9]*/status 2> /dev/null | cut -d / -f 3 || true)"
kill -s KILL "${play}"
for worker in ${workers}; do
    kill -s KILL "${worker}" 2> /dev/null || true
done
rm -f "${output}"
