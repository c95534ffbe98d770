# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find dead links inside the built site: ``check_links.py DIRECTORY``. Links to other sites are not followed."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_MIN_PAGES = 20
"""A site with fewer pages is not built completely."""


class Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is called, and what it links to."""
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value:
                self.links.add(value)


def dead_links(site: Path) -> list[str]:
    """Return the links to files and anchors that do not exist.

    :raises FileNotFoundError: the site is not built.
    """
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    if len(pages) < _MIN_PAGES:
        raise FileNotFoundError(f"{site} has only {len(pages)} pages")
    dead = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                dead.append(f"{path.relative_to(site.resolve())}: {link}")
    return dead


def main(directory: str) -> int:
    """Print the dead links, and return the exit status."""
    dead = dead_links(Path(directory))
    print("\n".join([*dead, f"{len(dead)} dead links"]))
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
