#!/usr/bin/env bash
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Privilege escalation where the agent runs as an ordinary user.
set -euxo pipefail

# shellcheck source=tests/guests/target.sh
. "${ANSIBLE_COLLECTIONS_PATH}/ansible_collections/netless/qga/tests/guests/target.sh"

# alice may use sudo without a password, bob with his.
alice="$(start_guest alice --suite bookworm --user alice)"
bob="$(start_guest bob --suite trixie --user bob)"
cat > "${work}/inventory" <<INVENTORY
[guests]
alice ansible_qga_endpoint=${alice}
bob ansible_qga_endpoint=${bob}
[guests:vars]
ansible_connection=netless.qga.guest_agent
ansible_python_interpreter=/usr/bin/python3
INVENTORY

"${guests}/passwords.sh" > "${work}/passwords.yml"

ansible-playbook -i "${work}/inventory" become.yml -e "@${work}/passwords.yml" -vvvvv "$@" | tee "${work}/output"

# Even at the highest verbosity, the output has neither the passwords nor their base64 form.
set +x
for secret in $(python -c "import json; print(*json.load(open('${work}/passwords.yml')).values())"); do
    if grep -F -e "${secret}" -e "$(printf '%s\n' "${secret}" | base64)" "${work}/output"; then
        echo "a password is in the output"
        exit 1
    fi
done
