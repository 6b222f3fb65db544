"""The report and the dashboard in a real browser: headless Chromium, driven by Selenium."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from study.command_line import run_command
from study.report import app
from study.storage.dashboard import browse_command

pytestmark = pytest.mark.slow

QUIET = (  # to run as root, without a screen, and without network requests of its own
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTHS, SCHEMES = (1200, 390), ("light", "dark")
SECONDS = 90  # to wait for a page, on a busy machine
FIGURES_DRAWN = "return [...document.querySelectorAll('figure')].filter(one => one.querySelector('.main-svg')).length"
PAGE_WIDTH = "return document.documentElement.scrollWidth"
CELLS = "return document.querySelectorAll('.heat td[style]').length"
COLOURS = "return ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
# Text that extends beyond the edge of its figure, which a reader would see cut off.
CUT_TEXTS = """
return [...document.querySelectorAll('.js-plotly-plot .main-svg text')].filter(text => {
  const inner = text.getBoundingClientRect(), outer = text.closest('.js-plotly-plot').getBoundingClientRect();
  return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
}).map(text => text.textContent)
"""


class Browser:
    """Chromium with a profile of its own."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def show(self, url: str, *, width: int = 1200, scheme: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(url)

    def wait_for(self, script: str, expected: Any) -> None:
        WebDriverWait(self.driver, SECONDS, 0.2).until(lambda driver: driver.execute_script(script) == expected)

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """URLs that have been requested since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program, service = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or service is None:
        if "CI" in os.environ:
            pytest.fail("Chromium and its driver are not installed.")
        pytest.skip("Chromium and its driver are not installed.")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (*QUIET, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(service))
    driver.set_page_load_timeout(SECONDS)
    driver.get("about:blank")  # to leave Chromium's start page
    started = Browser(driver)
    started.requested()
    yield started
    driver.quit()


@contextmanager
def dashboard(command: str, folder: Path) -> Iterator[str]:
    """Run `optuna-dashboard` with the command that is shown, but on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program, *arguments = command.split()
    whole = [Path(sys.executable).with_name(program), *arguments, "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(whole, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def test_every_figure_of_the_report_is_drawn_on_any_screen_without_network_requests(toy: Any, browser: Browser) -> None:
    toy.searched("--trials", 12)
    assert run_command(app, ["--top", "1", "--seeds", "2", "--workers", "1"]) == 0
    page = toy.folder / "reports" / "toy-lstm" / "report.html"
    figures = page.read_text().count("<figure ")
    assert figures >= 8
    colours = {}
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.show(page.as_uri(), width=width, scheme=scheme)
            browser.wait_for(FIGURES_DRAWN, figures)
            assert browser.driver.execute_script(PAGE_WIDTH) <= width
            assert browser.driver.execute_script(CUT_TEXTS) == []
            assert browser.console() == []
            assert [url for url in browser.requested() if not url.startswith(("data:", "blob:"))] == [page.as_uri()]
            assert browser.driver.execute_script(CELLS) == 3 * 3  # of the confusion matrix
            colours[scheme] = browser.driver.execute_script(COLOURS)
    assert not set(colours["light"]) & set(colours["dark"])


def test_a_report_without_any_trial_is_readable_too(toy: Any, browser: Browser) -> None:
    assert toy.run("--trials", 1, "--timeout", 0.001) == 0  # which ends before the first trial
    assert run_command(app, ["--no-retrain"]) == 0
    page = toy.folder / "reports" / "toy-lstm-search" / "report.html"
    for width in WIDTHS:
        browser.show(page.as_uri(), width=width)
        browser.wait_for(FIGURES_DRAWN, page.read_text().count("<figure "))
        assert browser.driver.execute_script(PAGE_WIDTH) <= width
        assert browser.console() == []


@pytest.mark.usefixtures("pictures")
def test_the_dashboard_shows_the_pictures_of_a_trial_and_the_note_with_the_verdict(toy: Any, browser: Browser) -> None:
    toy.searched("--trials", 3)
    assert run_command(app, ["--top", "1", "--seeds", "1", "--workers", "1"]) == 0
    verdict = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())["verdict"]
    url = "sqlite:///study.db"
    with dashboard(browse_command(url, str(toy.folder / "artifacts")), toy.folder) as address:
        WebDriverWait(browser.driver, SECONDS, 0.5, ignored_exceptions=[WebDriverException]).until(
            lambda _: browser.show(f"{address}/dashboard/studies/1/trials?numbers=1") is None
        )
        pictures = "return [...document.querySelectorAll('img')].filter(image => image.naturalWidth > 300).length"
        browser.wait_for(pictures, 2)
        text = browser.driver.execute_script("return document.body.innerText")
        assert all(name in text for name in ("learning-curve.png", "confusion.png", "confusion.csv", "log.txt"))
        browser.show(f"{address}/dashboard/studies/1/note")
        browser.wait_for(f"return document.body.innerText.includes({json.dumps(verdict)})", True)
        text = browser.driver.execute_script("return document.body.innerText")
        assert "Search: highest validation macro-F1 over hidden_size" in text
        assert "reports/toy-lstm/report.html" in text
        assert all(url.startswith((address, "data:", "blob:")) for url in browser.requested())
