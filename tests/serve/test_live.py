"""The real server on loopback: many clients at once, a study that grows, a browser, and Ctrl-C."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from surrogate_nas.api import Study
from tests.helpers.chromium import CHROMIUM, Tab, browser

CLIENTS, QUESTIONS = 100, 3
SECONDS = 120.0
pytestmark = pytest.mark.slow
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def serving(study: Path, scratch: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "surrogate_nas", "serve", str(study), "--port", "0"]
    places = os.environ | {"TMPDIR": str(scratch)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=places)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        match = re.fullmatch(r"serving .* at (http://127\.0\.0\.1:\d+) \(stop with Ctrl-C\)\n", line)
        assert match is not None, line
        yield Server(match[1], process)
    finally:
        process.kill()
        process.communicate()


def until(url: str, **expected: object) -> dict[str, object]:
    """The state of a server, once it is as expected."""
    end = time.monotonic() + SECONDS
    while True:
        state: dict[str, object] = httpx.get(f"{url}/state").json()
        if all(state[name] == value for name, value in expected.items()):
            return state
        assert time.monotonic() < end, state
        time.sleep(0.2)


@pytest.fixture(scope="module")
def server(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(study_path, tmp_path_factory.mktemp("scratch")) as server:
        until(server.url, report=True, making=False)
        yield server


def test_a_hundred_clients_at_once(server: Server, study_path: Path) -> None:
    space = Study.open(study_path).space
    encodings = [str(a) for a in space.sample(CLIENTS, np.random.default_rng(0))]

    def ask(encoding: str) -> list[int]:
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            answers = [client.post("/query", json={"encodings": [encoding]}) for _ in range(QUESTIONS)]
        assert len({a.content for a in answers}) == 1
        assert answers[0].json()[0]["encoding"] == encoding
        return [a.status_code for a in answers]

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert {status for statuses in clients.map(ask, encodings) for status in statuses} == {200}


def test_a_study_that_grows_is_followed_and_ctrl_c_ends_it(study_path: Path, tmp_path: Path) -> None:
    shutil.copytree(study_path, tmp_path / "study")
    (tmp_path / "scratch").mkdir()
    with serving(tmp_path / "study", tmp_path / "scratch") as server:
        first = until(server.url, report=True, making=False)
        before = httpx.get(server.url).text
        Study.open(tmp_path / "study").collect(1)
        last = until(server.url, trainings=int(str(first["trainings"])) + 1, making=False)
        assert last["problem"] == ""
        assert last["surrogate"]
        assert f"covers {last['trainings']} trainings" in httpx.get(server.url).text
        assert f"covers {first['trainings']} trainings" in before
        assert list((tmp_path / "scratch").glob("surrogate-nas-*"))
        server.process.send_signal(signal.SIGINT)
        _, err = server.process.communicate(timeout=30)
        assert (server.process.returncode, err) == (0, "")
        assert not list((tmp_path / "scratch").glob("surrogate-nas-*"))


# ---------------------------------------------------------------------- a browser


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(autouse=True)
def _quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page complains, and none asks anything of another host."""
    yield
    if "tab" in request.fixturenames:
        tab: Tab = request.getfixturevalue("tab")
        assert tab.complaints == []
        assert tab.elsewhere == []


def fits(tab: Tab) -> bool:
    """Whether no element overflows the page horizontally."""
    return bool(tab.run("document.documentElement.scrollWidth <= innerWidth"))


@needs_chromium
@pytest.mark.parametrize("width", [1200, 400])
def test_the_report_opens_from_disk(tab: Tab, study_path: Path, tmp_path: Path, width: int) -> None:
    page = Study.open(study_path).report(tmp_path)
    tab.open(page.as_uri(), width)
    tab.wait("document.querySelectorAll('.plotly-graph-div .main-svg').length > 0")
    assert fits(tab)


@needs_chromium
@pytest.mark.parametrize("width", [1200, 400])
def test_the_report_opens_from_the_server(tab: Tab, server: Server, width: int) -> None:
    tab.open(server.url, width)
    tab.wait("document.querySelectorAll('.plotly-graph-div .main-svg').length > 0")
    assert "covers 12 trainings" in tab.run("document.getElementById('live').textContent")
    assert fits(tab)


@needs_chromium
def test_a_page_that_waits_for_the_report_loads_it(tab: Tab, study_path: Path, tmp_path: Path) -> None:
    with serving(study_path, tmp_path) as fresh:
        tab.open(fresh.url)
        tab.wait("document.body.textContent.includes('this page reloads by itself')")
        tab.wait("document.querySelectorAll('.plotly-graph-div .main-svg').length > 0")
        tab.wait("document.getElementById('live').textContent.includes('covers 12 trainings')")
        tab.send("Page.navigate", url="about:blank")


@needs_chromium
@pytest.mark.parametrize("width", [1200, 400])
def test_the_slider_moves_along_the_curve_by_keyboard(tab: Tab, server: Server, width: int) -> None:
    trained = httpx.get(f"{server.url}/trained").json()
    cards = [httpx.get(f"{server.url}/trained/{t['id']}").json() for t in trained]
    card = max(cards, key=lambda c: len(c["curve"]))
    tab.open(f"{server.url}/networks#{card['id']}", width)
    tab.wait("document.querySelector('#mix .bar')")
    tab.run("document.getElementById('place').focus()")
    for key, code, place in (("Home", 36, 0), ("ArrowRight", 39, 1), ("End", 35, -1)):
        tab.key(key, code)
        text = tab.run("document.getElementById('figures').textContent")
        point = card["curve"][place]
        assert point["thresholds"] in text
        assert f"{point['expected_macs']:,.0f}" in text
        assert f"{100 * point['test']['accuracy']:.1f}" in text
    assert fits(tab)


@needs_chromium
@pytest.mark.parametrize("width", [1200, 400])
def test_the_form_predicts_what_is_chosen(tab: Tab, server: Server, width: int) -> None:
    tab.open(f"{server.url}/what-if", width)
    tab.wait("document.querySelector('#prediction dl')")
    tab.run("document.querySelector('#genes select').focus()")
    first = tab.run("document.querySelector('#prediction').textContent")
    tab.key("ArrowUp", 38)
    tab.wait(f"document.querySelector('#prediction').textContent !== {first!r}")
    tab.run("document.getElementById('own').click()")
    tab.run("document.getElementById('off1').click()")
    tab.wait("document.querySelector('#prediction').textContent.includes(',off')")
    tab.run("document.getElementById('max_macs').value = 30000")
    tab.run("document.getElementById('best').click()")
    best = httpx.post(f"{server.url}/best", json={"limits": {"max_macs": 30000, "min_accuracy": 0.3}}).json()
    encoding = best["answers"][0]["encoding"]
    tab.wait(f"document.querySelector('#prediction').textContent.includes({encoding!r})")
    assert "; ".join(best["answers"][0]["cautions"]) in tab.run("document.querySelector('#prediction').textContent")
    again = tab.run("document.querySelectorAll('#genes select').length")
    assert again > 10
    assert tab.run("[...document.querySelectorAll('input, select')].every((field) => field.labels.length > 0)")
    assert fits(tab)


@needs_chromium
def test_what_the_server_refuses_is_shown_and_not_thrown(tab: Tab, server: Server) -> None:
    tab.open(f"{server.url}/what-if")
    tab.wait("document.querySelector('#prediction dl')")
    tab.run("document.getElementById('max_macs').value = 1")
    tab.run("document.getElementById('best').click()")
    tab.wait("!document.getElementById('note').hidden")
    assert "expected MACs ≤ 1" in tab.run("document.getElementById('note').textContent")
    refused = [c for c in tab.complaints if "422" in c]  # which the browser itself logs
    tab.complaints[:] = [c for c in tab.complaints if c not in refused]


@needs_chromium
def test_the_page_about_the_api_fits(tab: Tab, server: Server) -> None:
    tab.open(f"{server.url}/docs", 400)
    assert "POST /query" in tab.run("document.body.textContent")
    assert fits(tab)
