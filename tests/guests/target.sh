# shellcheck shell=bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The runme.sh of a target that needs agents in sandboxes sources this. `start_guest NAME --suite SUITE` starts one, and
# prints its endpoint. ${work} is a directory for the target's files. Processes that the target starts belong in
# ${started}. Nothing of all that is left when the script ends, however it ends.

guests="${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests"
work="$(mktemp -d)"
started=()
mkdir "${work}/guests"

start_guest() {
    python "${guests}/sandbox.py" start --state "${work}/guests/$1" "${@:2}"
}

remove_guests() {
    local guest
    if [ "${#started[@]}" -gt 0 ]; then
        kill "${started[@]}" || true
    fi
    for guest in "${work}"/guests/*; do
        [ -e "${guest}" ] || continue
        python "${guests}/sandbox.py" stop --state "${guest}"
    done
    rm -rf "${work}"
}
trap remove_guests EXIT
# Bash skips the trap above when a signal ends it, unless there is a trap for that signal too.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
