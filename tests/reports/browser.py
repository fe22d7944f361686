"""A page in a real Chromium: what a script finds in it, and what went wrong meanwhile. No driver is needed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
COLLECT = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message ?? event.target.src ?? event.target.href)), true);
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective + event.blockedURI));
for (const how of ["error", "warn"]) console[how] = (...told) => errors.push(told.join(" "));
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const shown = (selector) => all(selector).filter((each) => each.checkVisibility());
const wait = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
addEventListener("load", async () => {
  let found = null;
  try { await wait(500); found = await (async () => {%s})(); } catch (error) { errors.push(String(error)); }
  parent.postMessage(JSON.stringify({ found, errors }), "*");
});
</script>"""
FRAME = """<!doctype html><pre id="told"></pre><iframe src="{}" width="{}" height="{}" style="border:0"></iframe>
<script>
addEventListener("message", (event) => {{ document.getElementById("told").textContent = event.data; }});
</script>"""


def found_in(page: Path, script: str, width: int = 1600, height: int = 1000) -> Any:
    """What the body of an async JavaScript function returns in a page; errors of the page fail the test.

    It may use `all(selector, within)`, `shown(selector)` and `wait(milliseconds)`.
    """
    assert CHROMIUM is not None
    tested, frame = page.with_name(f"{page.stem}.tested.html"), page.with_name(f"{page.stem}.frame.html")
    tested.write_text(page.read_text().replace("<head>", "<head>" + COLLECT.replace("%s", script), 1))
    frame.write_text(FRAME.format(tested.name, width, height))  # no window is as narrow as a phone
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000"]
        command = [CHROMIUM, *options, f"--user-data-dir={profile}", "--dump-dom", frame.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = re.search(r'<pre id="told">(.+?)</pre>', done.stdout, re.DOTALL)
    assert told, done.stderr[-2000:]
    result = json.loads(html.unescape(told[1]))
    assert result["errors"] == []
    return result["found"]
