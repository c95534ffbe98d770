# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the results of two runs exactly, after replacing only what differs between any two runs."""

from __future__ import annotations

import json
import re
import typing as t

_VOLATILE_KEYS = frozenset(
    {
        # times
        "access_time",
        "atime",
        "birthtime",
        "creation_time",
        "ctime",
        "date_time",
        "delta",
        "elapsed",
        "end",
        "modification_time",
        "mtime",
        "start",
        "uptime_seconds",
        # what other processes of the machine change
        "block_available",
        "block_used",
        "inode_available",
        "inode_used",
        "loadavg",
        "memfree_mb",
        "memory_mb",
        "size_available",
        "swapfree_mb",
        # names and numbers that the kernel or a module draws
        "ansible_job_id",
        "cache_update_time",
        "dev",
        "inode",
        "intermediate_user_password",
        "target_user_password",
    }
)
"""Keys whose values are replaced by their types. A fact's name may have ``ansible_`` in front."""

_UNORDERED_KEYS = frozenset({"interfaces"})
"""Keys of lists that a module makes from a set, whose order differs between processes."""

_VOLATILE_TEXTS = (
    # Where the path of a module begins: in a temporary directory, or in that of a kept interpreter.
    (re.compile(r"/tmp/ansible_[\w.]+_payload_[a-z0-9_]{8}/ansible_[\w.]+_payload\.zip"), "ZIP"),
    (re.compile(r"/dev/shm/netless-qga\.[0-9a-f]{32}\.warm/payload\.zip"), "ZIP"),
    # What a kept interpreter has on its stack below the module, and what the connection plugin has.
    (re.compile(r'(  File "<stdin>", line \d+, in (main|run|<module>)\n)+'), "  STDIN\n"),
    (re.compile(r'  File "[^"]*/netless/qga/plugins/[^"]+", line \d+, in \w+\n(    .*\n)*'), ""),
    # What only a shell prints about a program that it has started.
    (re.compile(r"\A(Aborted|Killed|Terminated)\n\Z"), ""),
    (re.compile(r"BECOME-SUCCESS-[a-z]{32}"), "BECOME-SUCCESS"),
    (re.compile(r"ansible-tmp-\d+\.\d+-\d+-\d+"), "ansible-tmp-NAME"),
    (re.compile(r"ansible-local-\d+[a-z0-9_]{8}"), "ansible-local-NAME"),
    (re.compile(r"ansible-moduletmp-\d+\.\d+-[a-z0-9_]{8}"), "ansible-moduletmp-NAME"),
    (re.compile(r"(?<=payload_)[a-z0-9_]{8}(?![a-z0-9_])"), "NAME"),
    (re.compile(r"(?<=ansible[._])[a-z0-9_]{8}(?=[./\s\"']|$)"), "NAME"),
    (re.compile(r"(?<=/tmp)[a-z0-9_]{8}(?![a-z0-9_])"), "NAME"),
    (re.compile(r"(?<=/tmp\.)[a-zA-Z0-9]{10}"), "NAME"),
    (re.compile(r"^\.[a-z0-9_]{8}$"), ".NAME"),
    (re.compile(r"(?<=/hello\.)[a-z0-9_]{8}(?=\.goodbye)"), "NAME"),
    (re.compile(r"\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~"), "BACKUP~"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"\|1\|[\w+/=]+\|[\w+/=]+"), "|1|SALT|HASH"),
    (re.compile(r"\bj?\d{9,}\.\d+"), "JOB"),
)


def normalize(value: t.Any) -> t.Any:
    """Return a copy of a result, or of a part of one, in which what differs between any two runs is replaced."""
    if isinstance(value, dict):
        return {_normalize_text(key): _normalize_item(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [normalize(item) for item in value]
    return _normalize_text(value) if isinstance(value, str) else value


def _normalize_item(key: str, item: t.Any) -> t.Any:
    name = key.removeprefix("ansible_")
    if name in _VOLATILE_KEYS:
        return type(item).__name__
    return sorted(item) if name in _UNORDERED_KEYS else normalize(item)


def _normalize_text(text: str) -> str:
    for pattern, replacement in _VOLATILE_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def differences(cold: t.Sequence[str], warm: t.Sequence[str]) -> list[str]:
    """Return one line for each place where two runs differ, at most 20.

    :param cold: the records of one run, as :class:`Run` has them.
    :param warm: those of the other.
    """
    found = [] if len(cold) == len(warm) else [f"{len(cold)} results cold, {len(warm)} warm"]
    for number, (one, other) in enumerate(zip(cold, warm), 1):
        first, second = json.loads(one), json.loads(other)
        where = f"result {number}, {first['task']}"
        found += [f"{where}: {difference}" for difference in _compare(normalize(first), normalize(second), "")]
    return found[:20]


def _compare(one: t.Any, other: t.Any, path: str) -> t.Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _compare(one.get(key, "(absent)"), other.get(key, "(absent)"), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (item, counterpart) in enumerate(zip(one, other)):
            yield from _compare(item, counterpart, f"{path}[{index}]")
    # An integer, a Boolean and a float can be equal, and differ in JSON.
    elif type(one) is not type(other) or one != other:
        yield f"{path.lstrip('.')} is {one!r} cold, {other!r} warm"
