# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a model guest, and what its agent has open of them. A FIFO is a file whose data others take out."""

from __future__ import annotations

import base64
import typing as t
from dataclasses import dataclass, field

from ..guests.scripted_agent import ErrorReply

Arguments = dict[str, t.Any]

# The C library writes when its buffer is full.
_BUFFER = 4096

_MODES = ("r", "w", "a", "r+", "w+", "a+")


@dataclass
class File:
    """A file, which lives on when its name is removed while it is open.

    :param data: what it contains; of a FIFO what no process has read.
    :param is_fifo: whether it is a FIFO.
    :param has_reader: whether a process reads the FIFO, so that the agent can open it for writing.
    """

    data: bytes = b""
    is_fifo: bool = False
    has_reader: bool = False


@dataclass
class _Handle:
    """A file that the agent has open.

    :param pending: what was written and is still in the agent's buffer.
    """

    file: File
    mode: str
    position: int = 0
    pending: bytes = b""


@dataclass
class ModelFiles:
    """All files of a guest by their path, and the open ones by the agent's number."""

    files: dict[str, File] = field(default_factory=dict)
    handles: dict[int, _Handle] = field(default_factory=dict)
    next_handle: int = 1000

    def content(self, path: str) -> bytes | None:
        """Return what a file contains; None if there is no such file."""
        file = self.files.get(path)
        return None if file is None else file.data

    def replace(self, path: str, data: bytes) -> None:
        """Replace the contents of a file, which is created if it does not exist."""
        self.files.setdefault(path, File()).data = data

    def append(self, path: str, data: bytes) -> None:
        """Write at the end of a file that some process has open; a removed file stays removed."""
        if path in self.files:
            self.files[path].data += data

    def remove_tree(self, directory: str) -> None:
        """Remove all files in a directory."""
        for path in [path for path in self.files if path.startswith(f"{directory}/")]:
            del self.files[path]

    def has_writer(self, file: File) -> bool:
        """Return whether the agent has a FIFO open."""
        return any(handle.file is file for handle in self.handles.values())

    def open(self, arguments: Arguments) -> int:
        """Carry out guest-file-open."""
        path, mode = arguments["path"], arguments.get("mode", "r").replace("b", "")
        if mode not in _MODES:
            raise ErrorReply(f"invalid file open mode '{mode}'")
        file = self.files.get(path)
        if file is None:
            if mode[0] == "r" or not self._has_directory(path):
                raise ErrorReply(f"failed to open file '{path}': No such file or directory")
            file = self.files[path] = File()
        elif file.is_fifo:
            if mode == "w" and not file.has_reader:
                raise ErrorReply(f"failed to open file '{path}': No such device or address")
        elif mode[0] == "w":
            file.data = b""
        self.next_handle += 1
        self.handles[self.next_handle] = _Handle(file, mode)
        return self.next_handle

    def _has_directory(self, path: str) -> bool:
        """Return whether a file can be created: the directory of a warm server exists as long as it has files."""
        directory = path.rpartition("/")[0]
        return not directory.endswith(".warm") or any(name.startswith(f"{directory}/") for name in self.files)

    def read(self, arguments: Arguments) -> Arguments:
        """Carry out guest-file-read."""
        handle, count = self._handle(arguments), arguments.get("count", 4096)
        if "r" not in handle.mode and "+" not in handle.mode:
            raise ErrorReply("failed to read file: Bad file descriptor")
        self._write_out(handle)
        data = handle.file.data[handle.position : handle.position + count]
        handle.position += len(data)
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < count}

    def write(self, arguments: Arguments) -> Arguments:
        """Carry out guest-file-write."""
        handle, data = self._handle(arguments), base64.b64decode(arguments["buf-b64"])
        handle.pending += data
        if handle.mode == "r":
            # The buffer takes the data, and the file does not.
            raise ErrorReply("failed to write to file: Bad file descriptor")
        if len(handle.pending) >= _BUFFER:
            self._write_out(handle)
        return {"count": len(data), "eof": False}

    def seek(self, arguments: Arguments) -> Arguments:
        """Carry out guest-file-seek."""
        handle = self._handle(arguments)
        self._write_out(handle)
        whence = {"set": 0, "cur": 1, "end": 2}.get(arguments["whence"], arguments["whence"])
        if whence not in (0, 1, 2):
            raise ErrorReply(f"invalid whence code {whence}")
        starts = (0, handle.position, len(handle.file.data))
        position = starts[whence] + arguments["offset"]
        if position < 0:
            raise ErrorReply("failed to seek file: Invalid argument")
        handle.position = position
        return {"position": position, "eof": False}

    def flush(self, arguments: Arguments) -> Arguments:
        """Carry out guest-file-flush."""
        self._write_out(self._handle(arguments))
        return {}

    def close(self, arguments: Arguments) -> Arguments:
        """Carry out guest-file-close."""
        self._write_out(self._handle(arguments))
        del self.handles[arguments["handle"]]
        return {}

    def _handle(self, arguments: Arguments) -> _Handle:
        if arguments["handle"] not in self.handles:
            raise ErrorReply(f"handle '{arguments['handle']}' has not been found")
        return self.handles[arguments["handle"]]

    def _write_out(self, handle: _Handle) -> None:
        data, handle.pending = handle.pending, b""
        if not data:
            return
        old = handle.file.data
        at = len(old) if handle.mode[0] == "a" or handle.file.is_fifo else handle.position
        handle.file.data = old[:at].ljust(at, b"\0") + data + old[at + len(data) :]
        if not handle.file.is_fifo:
            handle.position = at + len(data)
