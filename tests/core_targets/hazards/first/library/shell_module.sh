#!/bin/sh
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A module that is no Python. Ansible gives it a file with its arguments.
# WANT_JSON
printf '{"changed": false, "arguments": "%s"}\n' "$(sed -n 's/.*"word": "\([a-z]*\)".*/\1/p' "$1")"
