# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs for the guest's Python, each made of the files of a room as one source text."""

from __future__ import annotations

import ast
import functools
import pkgutil
import typing as t


@functools.cache
def python_program(package: str, files: tuple[str, ...]) -> str:
    """Return the files of a package as one, without comments, docstrings and the imports of one another.

    :param package: the package's full name.
    :param files: the names of its modules, each of which uses only those before it.
    """
    body: list[ast.stmt] = []
    for name in files:
        source = pkgutil.get_data(package, f"{name}.py")
        if source is None:
            raise FileNotFoundError(f"the collection lacks {package}.{name}")
        tree = ast.parse(source)
        for node in ast.walk(tree):
            _drop_docstring(node)
        body += [node for node in tree.body if not _is_own_import(node)]
    return "from __future__ import annotations\n" + ast.unparse(ast.Module(body, []))


def with_call(program: str, *arguments: t.Any) -> bytes:
    """Return a program that calls its function ``main``.

    :param arguments: what :func:`repr` shows completely: numbers, texts, and lists and dictionaries of them.
    """
    return f"{program}\nmain(*{arguments!r})\n".encode("ascii")


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
        # A body must not be empty.
        node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]


def _is_own_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
        "ansible_collections",
        "__future__",
    )
