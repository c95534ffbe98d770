#!/bin/sh
# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Stands in for getsebool, setsebool and semanage, whose names it is called by. The state is in files.
set -eu
state=/var/lib/selinux-test
case "${0##*/} $*" in
    "getsebool -a")
        cat "${state}/booleans" ;;
    "setsebool -P "*)
        shift
        for setting; do
            grep -q "^${setting%=on} --> off$" "${state}/booleans"
            sed -i "s/^${setting%=on} --> off$/${setting%=on} --> on/" "${state}/booleans"
        done ;;
    "semanage permissive --list")
        printf '\nBuiltin Permissive Types \n\nCustomized Permissive Types\n\n'
        cat "${state}/permissive" ;;
    "semanage permissive --add virt_qemu_ga_t")
        echo virt_qemu_ga_t >> "${state}/permissive" ;;
    *)
        echo "${0##*/} $*: not expected" >&2
        exit 1 ;;
esac
