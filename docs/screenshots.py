"""The two pictures of the README, from a study and its report, as PNG files of few colours.

    python docs/screenshots.py reports/r8-lstm/report.html sqlite:///study.db artifacts

Needs the packages of `[test]` and an installed Chromium.
"""

import io
import socket
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

FOLDER = Path(__file__).parent
OPTIONS = ("--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1")
SIZE, SHOWN_HEIGHT = (1000, 860), 615  # pixels; of the report, the sentences and a figure are shown
COLOURS = 128


def shoot(driver: webdriver.Chrome, url: str, *, seconds: float) -> Image.Image:
    """What a page shows after some seconds."""
    driver.get(url)
    time.sleep(seconds)
    return Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")


def save(file: Path, *pictures: Image.Image) -> None:
    """Save pictures as one, from top to bottom."""
    whole = Image.new("RGB", (pictures[0].width, sum(picture.height for picture in pictures)))
    for number, picture in enumerate(pictures):
        whole.paste(picture, (0, sum(one.height for one in pictures[:number])))
    whole.quantize(COLOURS).save(file, optimize=True)


def main() -> None:
    report, storage, artifacts = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    options = webdriver.ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dashboard = Path(sys.executable).with_name("optuna-dashboard")
    server = subprocess.Popen([dashboard, storage, "--artifact-dir", artifacts, "--port", str(port)])
    try:
        driver.set_window_size(*SIZE)
        top, contour = (shoot(driver, f"{report.as_uri()}{place}", seconds=10) for place in ("", "#contour"))
        save(FOLDER / "report.png", *(one.crop((0, 0, one.width, SHOWN_HEIGHT)) for one in (top, contour)))
        save(FOLDER / "dashboard.png", shoot(driver, f"http://127.0.0.1:{port}/dashboard/studies/1", seconds=20))
    finally:
        server.terminate()
        driver.quit()


if __name__ == "__main__":
    main()
