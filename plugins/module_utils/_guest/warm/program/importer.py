# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Imports from an AnsiballZ zip by way of the code that the warm server has compiled."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
import typing as t
import zipimport

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.program.payloads import Payloads, compile_source

# What nearly every module imports, and what it imports in turn that each job has to load itself: libselinux keeps its
# view of the system for the life of a process.
_PRELOADED = "ansible.module_utils.basic"
_NOT_PRELOADED = "ansible.module_utils.compat.selinux"


class PayloadImporter(importlib.abc.MetaPathFinder):
    """The importer of what is in one zip.

    :param payloads: everything that the guest has.
    :param paths: the members of the zip by path.
    """

    def __init__(self, payloads: Payloads, paths: dict[str, str]) -> None:
        self.payloads = payloads
        self.paths = paths
        #: The modules whose import is under way, innermost last.
        self.importing: list[str] = []
        # The modules that must not be preloaded; None if no preloading is under way.
        self._unfit: set[str] | None = None

    def find_spec(
        self, fullname: str, path: t.Any = None, target: t.Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module that the zip has."""
        if fullname == _NOT_PRELOADED and self._unfit is not None:
            self._unfit.update(self.importing)
            raise ModuleNotFoundError(f"{fullname} is not preloaded", name=fullname)
        member_path = self.find(fullname)
        if member_path is None:
            return None
        loader = PayloadLoader(self, member_path) if self._unfit is None else _PreloadingLoader(self, member_path)
        filename = loader.get_filename(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, loader, origin=filename, is_package=loader.is_package(fullname))
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(filename))
        return spec

    def find(self, fullname: str) -> str | None:
        """Return the path of a module in the zip; None if the zip does not have it."""
        relative = fullname.replace(".", "/")
        return next((path for path in (f"{relative}/__init__.py", f"{relative}.py") if path in self.paths), None)

    def preload(self) -> dict[str, str]:
        """Import what nearly every module imports, except modules that need one that must not be preloaded.

        :returns: the members that were imported, by path. A job whose zip has others must import its own.
        """
        if self.find(_PRELOADED) is None:
            return {}
        self._unfit = set()
        try:
            importlib.import_module(_PRELOADED)
        except Exception:  # pylint: disable=broad-exception-caught
            # Whatever it is, a job that imports this gets the same.
            self._unfit.update(filter(is_payload_name, sys.modules))
        unfit, self._unfit = self._unfit, None
        # What the guest has installed itself is no part of any zip.
        unfit.update(name for name in sys.modules if is_payload_name(name) and self.find(name) is None)
        _add_dependants(unfit)
        for name in unfit:
            _forget(name)
        found = filter(None, map(self.find, filter(is_payload_name, sys.modules)))
        return {path: self.paths[path] for path in found}


class PayloadLoader(importlib.abc.ExecutionLoader):
    """The loader of one module of a zip.

    :param importer: what the zip has.
    :param path: the module's path in the zip.
    """

    def __init__(self, importer: PayloadImporter, path: str) -> None:
        self._importer = importer
        self._path = path

    def is_package(self, fullname: str) -> bool:
        """Return whether the module is a package."""
        return self._path.endswith("/__init__.py")

    def get_filename(self, fullname: str) -> str:
        """Return the path that tracebacks show."""
        return f"{self._importer.payloads.root}/{self._path}"

    def get_source(self, fullname: str) -> str:
        """Return the module's source.

        :raises ImportError: the loader has another module. As __main__, a module has no source in tracebacks.
        :raises OSError: the zip on disk was removed. Python prints a traceback at its end without sources then.
        """
        if self._importer.find(fullname) != self._path:
            raise ImportError(f"no module named {fullname}", name=fullname)
        os.stat(_archive_on_disk())
        return importlib.util.decode_source(self._source())

    def get_code(self, fullname: str) -> types.CodeType:
        """Return the module's code."""
        code = self._importer.payloads.codes.get((self._importer.paths[self._path], self._path))
        return code or compile_source(self._source(), self.get_filename(fullname))

    def get_resource_reader(self, fullname: str) -> t.Any:
        """Return the reader of the zip on disk, for importlib.resources."""
        parent = os.path.dirname(os.path.dirname(self._path))
        return zipimport.zipimporter(os.path.join(_archive_on_disk(), parent)).get_resource_reader(fullname)

    def _source(self) -> bytes:
        return self._importer.payloads.source(self._importer.paths[self._path])


class _PreloadingLoader(PayloadLoader):
    """A loader that records which imports are under way. Tracebacks of jobs must not show that."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the module."""
        self._importer.importing.append(module.__name__)
        try:
            super().exec_module(module)  # pylint: disable=no-value-for-parameter
        finally:
            self._importer.importing.pop()


def _archive_on_disk() -> str:
    """Return the path of the zip that the wrapper has written."""
    return next((path for path in sys.path if path.endswith("_payload.zip")), "")


def is_payload_name(name: str) -> bool:
    """Return whether a module is one that Ansible sends."""
    return name.partition(".")[0] in ("ansible", "ansible_collections")


def _add_dependants(unfit: set[str]) -> None:
    """Add every module that holds something of an unfit one."""
    while True:
        loaded = [(name, module) for name, module in sys.modules.items() if is_payload_name(name)]
        found = {name for name, module in loaded if _uses(module, unfit)} - unfit
        if not found:
            return
        unfit |= found


def _uses(module: types.ModuleType, unfit: set[str]) -> bool:
    for value in list(vars(module).values()):
        if isinstance(value, types.ModuleType):
            # Every package has its modules as attributes, whether or not it uses them.
            if value.__name__ in unfit and value.__name__.rpartition(".")[0] != module.__name__:
                return True
        elif getattr(value, "__module__", None) in unfit:
            return True
    return False


def _forget(name: str) -> None:
    """Remove a module as if it had never been imported."""
    sys.modules.pop(name, None)
    package, attribute = name.rpartition(".")[::2]
    if package in sys.modules:
        vars(sys.modules[package]).pop(attribute, None)
