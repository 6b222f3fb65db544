"""The pages on the models: short, with the names of the code, and with pictures that are easy to read."""

import io
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import matplotlib.image
import numpy as np
import pytest
import typer

from study.run import app, run

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "models"
PAGES = sorted(FOLDER.glob("*.md"))
PICTURES = sorted(FOLDER.glob("*.svg"))
OPTIONS = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
CODE = "\n".join(path.read_text() for layer in ("preprocessing", "models") for path in (ROOT / layer).rglob("*.py"))
EXPLANATION_LINES = 20
SMALLEST_FONT, SMALLEST_CONTRAST = 9, 4.5  # in pixels, on a phone; as WCAG 2 requires
GROUNDS = {"light": "#ffffff", "dark": "#0d1117"}
SVG = "{http://www.w3.org/2000/svg}"
of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
of_each_picture = pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)

# Lists what is wrong with the texts of the picture in the page.
FIND_FAULTS = """
const svg = document.querySelector('svg'), view = svg.viewBox.baseVal, faults = [];
const scale = svg.getBoundingClientRect().width / view.width;
const inside = (inner, outer) => inner.x >= outer.x && inner.y >= outer.y
  && inner.x + inner.width <= outer.x + outer.width && inner.y + inner.height <= outer.y + outer.height;
const luminance = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(level => level / 255)
  .map(level => level <= 0.03928 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4)
  .reduce((sum, level, channel) => sum + level * [0.2126, 0.7152, 0.0722][channel], 0);
const texts = [...svg.querySelectorAll('text')].map(text => ({words: text.textContent, box: text.getBBox(), text}));
for (const [index, {words, box, text}] of texts.entries()) {
  const seen = text.getBoundingClientRect();
  const ground = document.elementsFromPoint(seen.x + seen.width / 2, seen.y + seen.height / 2)
    .find(element => element.matches('rect, circle'));
  if (!ground || !inside(box, ground.getBBox()) || !inside(box, view)) faults.push(`${words}: not within its shape`);
  for (const other of texts.slice(index + 1))
    if (box.x < other.box.x + other.box.width && other.box.x < box.x + box.width
        && box.y < other.box.y + other.box.height && other.box.y < box.y + box.height)
      faults.push(`${words}: on ${other.words}`);
  for (const line of svg.querySelectorAll('polyline'))
    for (let at = 0; at < line.getTotalLength(); at += 1) {
      const {x, y} = line.getPointAtLength(at);
      if (inside({x, y, width: 0, height: 0}, box)) { faults.push(`${words}: crossed by a line`); break; }
    }
  for (const part of [text, ...text.children]) {
    const {fill, fontSize} = getComputedStyle(part);
    if (parseFloat(fontSize) * scale < SMALLEST_FONT) faults.push(`${words}: too small`);
    const lights = [fill, ground ? getComputedStyle(ground).fill : fill].map(luminance);
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (contrast < SMALLEST_CONTRAST) faults.push(`${words}: too faint`);
  }
}
return [texts.length, faults];
""".replace("SMALLEST_FONT", str(SMALLEST_FONT)).replace("SMALLEST_CONTRAST", str(SMALLEST_CONTRAST))


def test_every_model_has_its_page_and_its_picture() -> None:
    models = set(get_args(get_type_hints(run)["model"]))
    assert {page.stem for page in PAGES} == {picture.stem for picture in PICTURES} == models


@of_each_page
def test_an_explanation_is_short(page: Path) -> None:
    title, *lines = page.read_text().splitlines()
    assert title.startswith("# ")
    assert sum(bool(line) and not line.startswith("![") for line in lines) <= EXPLANATION_LINES
    assert max(map(len, lines)) <= 120


@of_each_page
def test_a_page_shows_its_picture(page: Path) -> None:
    assert re.findall(r"!\[.+\]\((.+)\)", page.read_text()) == [f"{page.stem}.svg"]


@of_each_page
def test_every_option_that_is_named_exists(page: Path) -> None:
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", page.read_text())) <= OPTIONS


@of_each_page
def test_every_name_in_code_style_exists_in_the_code(page: Path) -> None:
    named = set(re.findall(r"`([A-Za-z_]+)`", page.read_text()))
    assert named
    assert not {name for name in named if not re.search(rf"\b{name}\b", CODE)}


@of_each_picture
def test_a_picture_has_a_description_and_uses_only_names_that_exist(picture: Path) -> None:
    svg = ElementTree.parse(picture).getroot()
    assert svg.findtext(f"{SVG}title")
    assert svg.findtext(f"{SVG}desc")
    texts = " ".join("".join(text.itertext()) for text in svg.iter(f"{SVG}text"))
    assert not {name for name in re.findall(r"[a-z]+_[a-z_]+", texts) if not re.search(rf"\b{name}\b", CODE)}


def test_the_pictures_are_what_the_script_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "draw_models.py", tmp_path], check=True)
    assert {drawn.name: drawn.read_text() for drawn in tmp_path.iterdir()} == {
        picture.name: picture.read_text() for picture in PICTURES
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        if "CI" in os.environ:
            pytest.fail("Chromium and its driver are not installed.")
        pytest.skip("Chromium and its driver are not installed.")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-dev-shm-usage",
        "disable-background-networking", "disable-component-update", "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()


def open_page(browser: Any, path: Path, html: str, *, scheme: str, width: int) -> None:
    path.write_text(f'<!doctype html><meta charset="utf-8"><style>:root {{ color-scheme: light dark; }}</style>{html}')
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_feature]})
    screen = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(path.as_uri())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
@of_each_picture
def test_every_text_can_be_read(picture: Path, width: int, scheme: str, browser: Any, tmp_path: Path) -> None:
    html = f"<style>svg {{ max-width: 100%; height: auto; }}</style>{picture.read_text()}"
    open_page(browser, tmp_path / "page.html", html, scheme=scheme, width=width)
    texts, faults = browser.execute_script(FIND_FAULTS)
    assert texts == len(list(ElementTree.parse(picture).getroot().iter(f"{SVG}text")))
    assert not faults


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@of_each_picture
def test_a_picture_follows_the_colour_scheme_when_shown_as_an_image(
    picture: Path, scheme: str, browser: Any, tmp_path: Path
) -> None:
    """A Markdown page shows the picture in this way."""
    open_page(browser, tmp_path / "page.html", f'<img src="{picture.as_uri()}">', scheme=scheme, width=1000)
    image = browser.find_element("tag name", "img")
    pixels = matplotlib.image.imread(io.BytesIO(image.screenshot_as_png))[:, :, :3]
    ground = [int(GROUNDS[scheme][start : start + 2], 16) / 255 for start in (1, 3, 5)]
    assert pixels.shape[:2] == (image.size["height"], image.size["width"])
    assert np.isclose(pixels, ground, atol=0.01).all(axis=2).mean() > 0.4  # so the picture was loaded
