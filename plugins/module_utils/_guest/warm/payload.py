# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AnsiballZ payloads: what Ansible gives to a Python in the guest to run a module, and the parts of it that recur.

A payload is a Python program: a wrapper that is the same for all modules, and a call of it whose arguments are the
module's zip in base64 and what the task has set. Ansible does not document this. Anything that is not exactly what
ansible-core 2.19 to 2.22 produce is not recognized.
"""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import io
import re
import struct
import typing as t
import zipfile
from dataclasses import dataclass, field

# The arguments of the call. Others may mean that the module has to run in another way. Extensions are debuggers and the
# measuring of coverage. Secrets are what the module must not print, since ansible-core 2.22.
_CALL = re.compile(
    rb"""\nif __name__ == "__main__":\n    _ansiballz_main\(\n"""
    rb"""ansible_module='[\w.]+',\nmodule_fqn=(?P<module>'[\w.]+'),\nprofile='\w+',\n"""
    rb"""date_time=datetime\.datetime\([^\n]*\),\nrlimit_nofile=\d+,\nparams=[^\n]*,\nextensions=\{\},\n"""
    rb"""(?:secrets=frozenset\([^\n]*\),\n)?zip_data='(?P<zip>[A-Za-z0-9+/=]*)',\n\)\n\Z"""
)
_WRAPPER_MARK = b"\n_ANSIBALLZ_WRAPPER = True"

# The length of the fixed part of a local file header, and where it has the lengths of the name and the extra field
# (APPNOTE.TXT, 4.3.7).
_HEADER = 30
_NAME_LENGTHS = 26

# How much of a SHA-256 names a member, in hexadecimal digits.
_MEMBER_NAME = 32


@dataclass(frozen=True)
class Payload:
    """A payload in its parts.

    :param module: the module's name, like ``ansible.builtin.ping``.
    :param wrapper: the wrapper.
    :param before: the call, up to the zip.
    :param zip_data: the zip in base64.
    :param after: the call after the zip.
    """

    module: str
    wrapper: str
    # They hold the task's parameters, which may be secrets.
    before: str = field(repr=False)
    zip_data: bytes
    after: str

    @property
    def wrapper_name(self) -> str:
        """The name of the wrapper, from its contents."""
        return hashlib.sha256(self.wrapper.encode("utf-8")).hexdigest()

    @property
    def zip_name(self) -> str:
        """The name of the zip, from its contents."""
        return hashlib.sha256(self.zip_data).hexdigest()


@dataclass(frozen=True)
class Member:
    """A member of a zip.

    :param name: its name, from its contents as the zip has them.
    :param path: its path in the zip.
    :param is_deflated: whether it is compressed.
    :param between: what the zip has between the member before it and this one.
    :param data: its contents as the zip has them.
    """

    name: str
    path: str
    is_deflated: bool
    between: bytes
    data: bytes


@dataclass(frozen=True)
class Archive:
    """A zip in its parts.

    :param members: its members, in the order in which they are stored.
    :param rest: what follows the last of them: the central directory.
    """

    members: tuple[Member, ...]
    rest: bytes


def parse_payload(program: bytes) -> Payload | None:
    """Return the parts of a payload; None if the program is not recognized."""
    match = _CALL.search(program)
    if match is None or _WRAPPER_MARK not in program[: match.start()]:
        return None
    try:
        return Payload(
            module=_module_name(ast.literal_eval(match["module"].decode("ascii"))),
            # The newline ends the wrapper's last line.
            wrapper=program[: match.start() + 1].decode("utf-8"),
            before=program[match.start() + 1 : match.start("zip")].decode("utf-8"),
            zip_data=match["zip"],
            after=program[match.end("zip") :].decode("utf-8"),
        )
    except UnicodeDecodeError:
        return None


def parse_archive(zip_data: bytes) -> Archive | None:
    """Return the parts of a zip; None if it has members that are neither stored nor deflated, or is damaged.

    :param zip_data: the zip in base64.
    """
    try:
        content = base64.b64decode(zip_data, validate=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        return _split(content, infos)
    except (binascii.Error, struct.error, zipfile.BadZipFile):
        return None


def _split(content: bytes, infos: t.Sequence[zipfile.ZipInfo]) -> Archive | None:
    members, position = [], 0
    for info in infos:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return None
        start = (
            info.header_offset + _HEADER + sum(struct.unpack_from("<HH", content, info.header_offset + _NAME_LENGTHS))
        )
        end = start + info.compress_size
        if start < position or end > len(content):
            return None
        data = content[start:end]
        members.append(
            Member(
                name=hashlib.sha256(data).hexdigest()[:_MEMBER_NAME],
                path=info.filename,
                is_deflated=info.compress_type == zipfile.ZIP_DEFLATED,
                between=content[position:start],
                data=data,
            )
        )
        position = end
    return Archive(tuple(members), content[position:])


def _module_name(module_fqn: str) -> str:
    """Return a module's name as users write it, from the name of the Python module."""
    parts = module_fqn.split(".")
    if parts[0] == "ansible_collections":
        # ansible_collections.NAMESPACE.NAME.plugins.modules.MODULE
        return ".".join([*parts[1:3], *parts[5:]])
    return ".".join(["ansible", "builtin", *parts[2:]])
