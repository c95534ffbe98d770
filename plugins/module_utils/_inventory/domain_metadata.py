# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metadata of a libvirt domain, which its owner can fill with any XML, as values for templates."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree


def parse_metadata(xml: str, namespaces: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Return the metadata in the description of a domain.

    An element without attributes and children becomes its text. Another one becomes a dictionary with its attributes,
    its children by their names, and its text as ``text``. Children of the same name become a list.

    :param xml: the description.
    :param namespaces: the XML namespace for each key of the result. libvirt keeps one element in each namespace.
    :returns: the value of the element for each key. It is an empty dictionary if the domain has none.
    """
    try:
        metadata = ElementTree.fromstring(xml).find("metadata")
    except ElementTree.ParseError:
        metadata = None
    elements = {} if metadata is None else {element.tag.rpartition("}")[0][1:]: element for element in metadata}
    return {key: _value(elements[uri]) if uri in elements else {} for key, uri in namespaces.items()}


def _value(element: ElementTree.Element) -> t.Any:
    text = (element.text or "").strip()
    if not element.attrib and not list(element):
        return text
    values: dict[str, t.Any] = {_local_name(name): value for name, value in element.attrib.items()}
    if text:
        values["text"] = text
    children: dict[str, list[t.Any]] = {}
    for child in element:
        children.setdefault(_local_name(child.tag), []).append(_value(child))
    values.update({name: found[0] if len(found) == 1 else found for name, found in children.items()})
    return values


def _local_name(name: str) -> str:
    """Return the name without its namespace."""
    return name.rpartition("}")[2]
