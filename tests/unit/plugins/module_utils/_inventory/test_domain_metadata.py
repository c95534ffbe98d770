# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metadata of domains, as values for templates."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._inventory.domain_metadata import parse_metadata

NAMESPACE = "https://example.com/app"


@pytest.mark.parametrize(
    ("metadata", "value"),
    [
        ("", {}),
        ("<o:other xmlns:o='https://example.com/other'>web</o:other>", {}),
        ("<info>without a namespace</info>", {}),
        ("<a:env xmlns:a='{0}'> prod </a:env>", "prod"),
        ("<a:env xmlns:a='{0}'/>", ""),
        ("<a:info xmlns:a='{0}' owner='ops'/>", {"owner": "ops"}),
        ("<a:info xmlns:a='{0}' a:owner='ops'>text</a:info>", {"owner": "ops", "text": "text"}),
        ("<info xmlns='{0}'><role>web</role><tier n='1'/></info>", {"role": "web", "tier": {"n": "1"}}),
        ("<a:info xmlns:a='{0}'><a:tag>x</a:tag><a:tag>y</a:tag></a:info>", {"tag": ["x", "y"]}),
        ("<a:info xmlns:a='{0}'>{{{{ 7*7 }}}}</a:info>", "{{ 7*7 }}"),
    ],
)
def test_value(metadata: str, value: t.Any) -> None:
    xml = f"<domain><name>web1</name><metadata>{metadata.format(NAMESPACE)}</metadata></domain>"
    assert parse_metadata(xml, {"app": NAMESPACE}) == {"app": value}


@pytest.mark.parametrize("xml", ["", "<domain", "<domain/>", "<domain><metadata/></domain>"])
def test_description_without_metadata(xml: str) -> None:
    assert parse_metadata(xml, {"app": NAMESPACE, "other": "urn:other"}) == {"app": {}, "other": {}}


def test_no_namespace_is_requested() -> None:
    assert parse_metadata(f"<domain><metadata><a xmlns='{NAMESPACE}'/></metadata></domain>", {}) == {}
