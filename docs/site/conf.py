# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation site, as Sphinx builds it from the pages that antsibull-docs writes. It needs no network."""

# The names are those that Sphinx reads.
# pylint: disable=invalid-name

from __future__ import annotations

import re
import typing as t

from docutils import nodes

if t.TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "netless.qga"
copyright = "the netless.qga authors"  # noqa: A001 # pylint: disable=redefined-builtin
title = html_short_title = "netless.qga"
extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_ansible_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_use_index = False
smartquotes = False
default_role = "any"

_ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"
_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
"""Pages of Ansible's own documentation, by their labels."""
_PLUGIN = re.compile(r"ansible_collections\.(?P<namespace>\w+)\.(?P<name>\w+)\.(?P<plugin>\w+_[a-z]+)(?P<anchor>__.*)?")
"""The label of a plugin, or of one of its options, in Ansible's documentation."""


def _link_to_ansible(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element
) -> nodes.Element | None:
    """Resolve a label of Ansible's documentation: Sphinx could only do this with a list that it downloads."""
    del app, env
    label = node.get("reftarget", "")
    page = _PAGES.get(label)
    plugin = _PLUGIN.fullmatch(label)
    if plugin and (plugin["namespace"], plugin["name"]) != ("netless", "qga"):
        anchor = f"#{plugin['anchor'][2:]}" if plugin["anchor"] else ""
        page = f"collections/{plugin['namespace']}/{plugin['name']}/{plugin['plugin']}.html{anchor}"
    return nodes.reference("", "", content, refuri=f"{_ANSIBLE}/{page}") if page else None


def _link_home(app: Sphinx, pagename: str, templatename: str, context: dict[str, t.Any], doctree: object) -> None:
    """Link to the first page from a page in any directory: the theme takes the same link for all pages."""
    del app, pagename, templatename, doctree
    context["theme_documentation_home_url"] = context["pathto"]("index")


def setup(app: Sphinx) -> None:
    """Add the links to Ansible's documentation, and to the first page. Sphinx calls this."""
    app.connect("missing-reference", _link_to_ansible)
    app.connect("html-page-context", _link_home)
