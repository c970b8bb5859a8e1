"""The published site in a real browser: the matrix by mouse, keyboard and address; for who sees little; on a phone; with very much in it."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from publication import pages, write
from publication.job import Edition
from tests.support.desk import needs
from tests.support.programmes import NOW, programme
from tests.support.sites import good_and_bad, site, valid

PHONE = {"width": 360, "height": 740}
CHIPS, SYSTEMS, NAMES = 7, 5, 3


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=needs("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of a site with a certified and a refused combination."""
    folder = tmp_path_factory.mktemp("site")
    runs = good_and_bad(folder)
    kept, lab, approver = programme(folder / "p")
    valid(kept, lab, approver, runs[0])
    write.write(folder / "site", Edition(site=site(), folder=kept, now=NOW, runs=runs[1].parents[1]))
    return folder / "site"


@pytest.fixture(scope="module")
def many(root):
    """The matrix's own data, of many combinations in all states: two hundred, in the place of the real ones."""
    (one, *_) = json.loads((root / "api/v1/combinations.json").read_text())["combinations"]
    made = []
    for n in range(200):
        parts = {
            "chip": f"chip{n % CHIPS} {n % 3}",
            "os": f"os{n % SYSTEMS} 2",
            "application": f"app{n % NAMES} {n % 4}.0",
        }
        made.append({**one, "id": f"{n:012x}", **parts, "state": list(pages.SYMBOL)[n % 7]})
    return made


@pytest.fixture(scope="module")
def address(root, many):
    shown = [{k: e[k] for k in write.SHOWN} for e in many]
    (root / "data.js").write_text(f"window.SHIPEI = {json.dumps(shown)};\n")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser, address):
    """A page on the matrix; whatever its console says of errors fails the test."""
    opened, said = browser.new_page(), []
    opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(f"{address}index.html")
    yield opened
    opened.close()
    assert said == []


def every_tile(page):
    while page.locator("#more").is_visible():
        page.locator("#more").click()
    return page.locator("#matrix a.tile")


def test_the_matrix_shows_all_and_filters(page, many):
    assert every_tile(page).count() == len(many)
    assert page.locator("#count").inner_text() == f"{len(many)} / {len(many)} 项"
    assert page.locator("#matrix tbody th").count() == len({e["chip"] for e in many})
    page.select_option("#state", "refused")
    refused = [e for e in many if e["state"] == "refused"]
    assert every_tile(page).count() == page.locator("#matrix a.refused").count() == len(refused)
    page.select_option("#state", "")
    page.fill("#q", "no such thing")
    assert every_tile(page).count() == 0


def test_what_was_chosen_is_in_the_address_and_comes_back(page, browser, many):
    page.select_option("#rows", "os")
    page.select_option("#columns", "chip")
    page.select_option("#state", "certified")
    page.click("#language")
    again = browser.new_page()
    again.goto(page.url)
    assert again.evaluate("document.documentElement.lang") == "en"
    assert again.locator("#matrix thead th").first.inner_text() == "OS × chip"
    assert again.locator("#matrix tbody th").count() == len({e["os"] for e in many if e["state"] == "certified"})
    assert again.locator("#count").inner_text().endswith("shown")
    again.click("#swap")
    assert again.locator("#matrix thead th").first.inner_text() == "chip × OS"
    again.close()


def test_near_combinations_are_named_and_never_green(page, many):
    page.select_option("#state", "certified")
    every_tile(page)
    there = {(e["chip"], e["application"]) for e in many if e["state"] == "certified"}
    families = {(chip.split()[0], name.split()[0]) for chip, name in there}
    empty = [(r, c) for r in {r for r, _ in there} for c in {c for _, c in there} if (r, c) not in there]
    near = sum((r.split()[0], c.split()[0]) in families for r, c in empty)
    assert 0 < near <= len(empty)
    assert page.locator("#matrix span.related").count() == near
    assert page.locator("#matrix span.none").count() == len(empty) - near


def test_all_of_it_by_the_keyboard(page, many):
    order = []
    for _ in range(9):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert order[:7] == ["rows", "swap", "columns", "q", "state", "language", "matrix"]
    page.focus("#rows")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.getElementById('rows').value") == "os"
    page.focus("#matrix a.tile >> nth=0")
    wanted = page.evaluate("document.activeElement.getAttribute('href')")
    assert wanted in {f"c/{e['id']}.html" for e in many}


@pytest.mark.parametrize("width", [PHONE, {"width": 1280, "height": 800}], ids=["phone", "desk"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_who_sees_little_can_read_every_page(browser, address, root, width, language):
    opened = browser.new_page(viewport=width)
    places = [f"index.html?lang={language}", "list.html", "changes.html", "services.html", "verify.html"]
    places += [
        f.relative_to(root).as_posix() for g in ("c", "vendors", "chips") for f in sorted((root / g).glob("*.html"))
    ]
    for place in places:
        opened.goto(f"{address}{place}")
        found = Axe().run(opened)
        assert found.violations_count == 0, f"{place}: {found.generate_report()}"
        wide = opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{place} is {wide} px wider than a screen of {width['width']}"
    opened.close()


def test_without_scripts_there_is_the_list(browser, address):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(f"{address}index.html")
    opened.click("noscript a")
    assert opened.locator("main table tr").count() == 3  # names, and the two real ones
    context.close()


def test_ten_thousand_combinations_are_drawn_as_far_as_somebody_looks(browser, address, root, many):
    shown = [{k: e[k] for k in write.SHOWN} for e in many]
    lots = [
        {**shown[n % 200], "id": f"{n:012x}", "chip": f"chip{n // 100} 1", "application": f"app{n % 50} 1.0"}
        for n in range(10_000)
    ]
    before = (root / "data.js").read_text()
    (root / "data.js").write_text(f"window.SHIPEI = {json.dumps(lots)};\n")
    try:
        opened = browser.new_page()
        opened.goto(f"{address}index.html")
        drawn = opened.locator("#matrix a.tile").count()
        assert 0 < drawn < 2000
        assert opened.locator("#count").inner_text() == "10000 / 10000 项"
        opened.locator("#more").scroll_into_view_if_needed()
        expect(opened.locator("#matrix a.tile")).not_to_have_count(drawn)
        opened.fill("#q", "nothing of it")
        expect(opened.locator("#matrix a.tile")).to_have_count(0)
        opened.close()
    finally:
        (root / "data.js").write_text(before)
