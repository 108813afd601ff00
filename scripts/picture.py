"""Takes the picture of a report's page that the README shows: some sections side by side, as a PNG.

    scripts/picture.py                                                  docs/report.png of reports/mnist/report.html
    scripts/picture.py experiments/mine/report/report.html --out mine.png

Needs a headless Chromium, which can reach no host.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

_ROOT = Path(__file__).resolve().parents[1]
_SECTIONS = ("verdict", "effects", "confusion")
_WIDTH, _HEIGHT, _GAP = 720, 860, 16  # of a section, in pixels
_LARGEST_BYTES = 300_000
_SHEET = """<!doctype html><style>body {{ margin: 0; display: flex; gap: {gap}px; background: #c8ccd2 }}
iframe {{ border: 0; width: {width}px; height: {height}px; background: white }}</style>
"""


def main() -> None:
    """Reads the arguments, takes the picture, and refuses one that is too large for a README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="?", type=Path, default=_ROOT / "reports" / "mnist" / "report.html")
    parser.add_argument("--sections", nargs="+", default=_SECTIONS, help="their anchors on the page")
    parser.add_argument("--out", type=Path, default=_ROOT / "docs" / "report.png")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweep-picture-") as folder:
        picture = photographed(given.page.resolve().as_uri(), given.sections, Path(folder))
    smaller = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS)
    smaller.quantize(256, dither=Image.Dither.NONE).save(given.out, optimize=True)
    size = given.out.stat().st_size
    print(f"{given.out}: {smaller.width} x {smaller.height} pixels, {size:,} bytes")
    if size > _LARGEST_BYTES:
        sys.exit(f"larger than {_LARGEST_BYTES:,} bytes: show fewer --sections")


def photographed(address: str, sections: list[str], folder: Path) -> Image.Image:
    """Gives what a browser shows of a page's sections, each in a frame of its own."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium is installed (Debian: apt-get install chromium)")
    frames = "".join(f'<iframe src="{address}#{section}"></iframe>' for section in sections)
    (folder / "sheet.html").write_text(_SHEET.format(gap=_GAP, width=_WIDTH, height=_HEIGHT) + frames)
    words = [
        chromium,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--blink-settings=preferredColorScheme=1",  # light
        "--virtual-time-budget=5000",
        f"--user-data-dir={folder}/profile",
        f"--window-size={len(sections) * (_WIDTH + _GAP) - _GAP},{_HEIGHT}",
        f"--screenshot={folder}/screen.png",
        (folder / "sheet.html").as_uri(),
    ]
    finished = subprocess.run(words, capture_output=True, text=True)
    if finished.returncode or not (folder / "screen.png").is_file():
        sys.exit(f"chromium took no picture: {finished.stderr.strip()[-500:]}")
    with Image.open(folder / "screen.png") as image:
        return image.convert("RGB")


if __name__ == "__main__":
    main()
