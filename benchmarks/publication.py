"""A published matrix of 10,000 combinations in headless Chromium: until it is drawn, and until a filter is; beside the same as one whole table."""

import dataclasses
import json
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright

from publication import pages, write
from publication.entries import Entry
from publication.job import Site

COMBINATIONS, TIMES = 10_000, 5
SITE = Site(zh="适配", en="Compatibility", url="https://c.example.org/")
FILTERS = ("vendor-3", "chip7", "app2", " ", "")
PAINTED = """async () => {
  for (;;) {
    const found = performance.getEntriesByName("first-contentful-paint")[0];
    if (found) return found.startTime;
    await new Promise(requestAnimationFrame);
  }
}"""
FILTER = """async (said) => {
  const box = document.getElementById("q"), began = performance.now();
  box.value = said; box.dispatchEvent(new Event("input"));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - began;
}"""


def entries():
    return [
        Entry(
            id=f"{n:012x}", subject=f"virtual:vendor-{n % 20}:chip{n // 300}-{n // 100 % 3}/os{n % 10}-1/app{n // 10 % 10}-1.{n % 4}",
            vendor=f"vendor-{n % 20}", chip=f"chip{n // 300} {n // 100 % 3}", os=f"os{n % 10} 1", application=f"app{n // 10 % 10} 1.{n % 4}",
            profile="cockpit-1.0", rig="sim", virtual=True, state=list(pages.SYMBOL)[n % 7], detail="", since="", valid_until="",
            passed=0, requirements=(), manifest="", certificate="", record="", life=(), inputs={}, kin=(),
        )
        for n in range(COMBINATIONS)
    ]  # fmt: skip


def filled(folder, found):
    rows = [{key: value for key, value in dataclasses.asdict(e).items() if key in write.SHOWN} for e in found]
    for name in ("style.css", "app.js"):
        (folder / name).write_bytes((write.HERE / name).read_bytes())
    (folder / "data.js").write_text(f"window.SHIPEI = {json.dumps(rows)};\n")
    (folder / "index.html").write_text(pages.index(SITE, "virtual", {"number": 1, "issued": ""}))
    (folder / "list.html").write_text(pages.listing(SITE, found))


def painted(browser, address, loaded):
    """(until something is painted, until all that the page draws at first is there), in ms; the best of some."""
    found = []
    for _ in range(TIMES):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(loaded)
        found.append(
            (
                page.evaluate(PAINTED),
                page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart"),
            )
        )
        page.close()
    return min(found, key=lambda one: one[1])


def measure():
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        filled(Path(name), entries())
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/"
        browser = driver.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        first, whole = painted(browser, f"{root}index.html", "#matrix table")
        first_list, whole_list = painted(browser, f"{root}list.html", "main table")
        page = browser.new_page()
        page.goto(f"{root}index.html")
        slowest = max(page.evaluate(FILTER, said) for _ in range(TIMES) for said in FILTERS)
        browser.close()
        server.shutdown()
        server.server_close()
    return [
        [
            f"a published matrix of {COMBINATIONS:,} combinations: first paint, loaded (headless Chromium)",
            f"{first:.0f} ms, {whole:.0f} ms; slowest of {TIMES * len(FILTERS)} filters {slowest:.0f} ms",
            f"all of it as one table {first_list:.0f} ms, {whole_list:.0f} ms",
            f"{whole_list / whole:.1f}x",
        ]
    ]
