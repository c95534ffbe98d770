# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the built site on a wide and a narrow screen: ``screenshots.py SITE PICTURES``. Needs Chromium.

A page must not be wider than its screen, and all its images have to load. Some pages are kept as pictures, to look at.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCREENS = {"wide": (1280, 900), "narrow": (400, 800)}
PICTURED = ("index", "docsite/getting_started_guide", "docsite/protocol_guide", "fsfreeze_module")
_TIMEOUT = 300

# Chromium has no window as narrow as a telephone, so the page is shown in a frame.
_FRAME = '<body style="margin:0"><iframe src="{page}" width="{width}" height="{height}" style="border:0"></iframe>'
_MEASURE = """\
<body><iframe id="frame" style="border:0"></iframe><pre id="result"></pre><script>
const pages = PAGES, screens = SCREENS, result = [];
const frame = document.getElementById("frame");
async function measure() {
  for (const page of pages) for (const [name, [width, height]] of Object.entries(screens)) {
    frame.width = width; frame.height = height;
    await new Promise(loaded => { frame.onload = loaded; frame.src = page; });
    const shown = frame.contentDocument;
    result.push({page, screen: name, width, needed: shown.documentElement.scrollWidth,
                 broken: [...shown.images].filter(image => !image.naturalWidth).map(image => image.src)});
  }
  document.getElementById("result").textContent = JSON.stringify(result);
}
measure();
</script>"""


def chromium(*arguments: str) -> str:
    """Run Chromium on a page without a window, and return what it prints.

    :raises FileNotFoundError: there is no Chromium.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("there is no Chromium: apt-get install chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *options, f"--user-data-dir={profile}", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT)
    return done.stdout


def measure(site: Path, pages: list[Path]) -> list[dict[str, Any]]:
    """Return how wide each page is on each screen, and which of its images do not load.

    :raises RuntimeError: Chromium did not load all pages.
    """
    with tempfile.NamedTemporaryFile("w", dir=site, suffix=".html", encoding="utf-8") as wrapper:
        script = _MEASURE.replace("PAGES", json.dumps([page.as_uri() for page in pages]))
        wrapper.write(script.replace("SCREENS", json.dumps(SCREENS)))
        wrapper.flush()
        budget = 2000 * len(pages) * len(SCREENS)
        shown = chromium(f"--virtual-time-budget={budget}", "--dump-dom", Path(wrapper.name).as_uri())
    found = re.search(r'<pre id="result">(.*?)</pre>', shown, re.DOTALL)
    measured: list[dict[str, Any]] = json.loads(html.unescape(found[1]) or "[]") if found else []
    if len(measured) != len(pages) * len(SCREENS):
        raise RuntimeError(f"Chromium has measured {len(measured)} of {len(pages)} pages on {len(SCREENS)} screens")
    return measured


def take(page: Path, width: int, height: int, picture: Path) -> None:
    """Take a picture of a page on one screen."""
    with tempfile.NamedTemporaryFile("w", dir=page.parent, suffix=".html", encoding="utf-8") as wrapper:
        wrapper.write(_FRAME.format(page=page.name, width=width, height=height))
        wrapper.flush()
        chromium(f"--window-size={width},{height}", f"--screenshot={picture}", Path(wrapper.name).as_uri())


def main(site: str, pictures: str) -> int:
    """Check the pages, take the pictures, and return the exit status."""
    root, output = Path(site).resolve(), Path(pictures).resolve()
    output.mkdir(parents=True, exist_ok=True)
    pages = sorted(root.rglob("*.html"))
    complaints = []
    for measured in measure(root, pages):
        name = f"{measured['page'].rpartition('/')[2]} on a {measured['screen']} screen"
        if measured["needed"] > measured["width"]:
            complaints.append(f"{name} needs {measured['needed']} pixels")
        complaints += [f"{name} does not show {image}" for image in measured["broken"]]
    for page in PICTURED:
        for screen, (width, height) in SCREENS.items():
            take(root / f"{page}.html", width, height, output / f"{page.rpartition('/')[2]}-{screen}.png")
    print("\n".join([*complaints, f"{len(pages)} pages, {len(complaints)} complaints; pictures are in {output}"]))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
