# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of ssh keys of a user in the guest."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils._guest.accounts import key_plan, passwords
from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.password_hash import is_hash
from ansible_collections.netless.qga.plugins.module_utils._guest.accounts.public_keys import (
    key_lines,
    key_of,
    parse_keys,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

from .pieces import split_input


def ssh_keys(data: bytes) -> None:
    """Find the keys in a file, and plan changes of it. The first line is what the user wants, or does not want."""
    (choice,), rest = split_input(data, 1)
    text = rest.decode("utf-8", errors="surrogateescape")
    first, dummy, others = text.partition("\n")
    before = key_lines([others])
    for line in before:
        key = key_of(line)
        assert key is None or (key_of(key) == key and key.rpartition(" ")[2] in line)
    try:
        wanted = parse_keys([first])
    except InvalidRequest as exc:
        assert str(exc).isprintable() and len(str(exc)) < 300
    else:
        _check_plans(before, wanted, exclusive=choice % 2 == 1)
    found = passwords._hash_in(text.split("\n"), first)  # pylint: disable=protected-access
    assert found is None or ":" not in found
    is_hash(first)


def _check_plans(before: list[str], wanted: list[str], *, exclusive: bool) -> None:
    keys = {key_of(line) for line in wanted}
    present = key_plan.plan_present(before, wanted, exclusive=exclusive)
    found = [key_of(line) for line in present.after]
    assert keys <= set(found) and (not exclusive or keys == set(found))
    assert not key_plan.plan_present(present.after, wanted, exclusive=exclusive).changes
    absent = key_plan.plan_absent(before, wanted)
    assert not keys & {key_of(line) for line in absent.after}
    assert not key_plan.plan_absent(absent.after, wanted).changes
