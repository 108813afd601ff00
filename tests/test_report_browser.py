"""The page in a real browser: nothing overflows, nothing is fetched, nothing complains, on screen, phone and paper."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from made_up import made_up_sweep, write_experiment

from sweep.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (Debian: apt-get install chromium)"),
]

# Runs in a copy of the page, in a frame as wide as the screen, and leaves what it measured in the title.
MEASURE = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => errors.push(event.blockedURI));
addEventListener("load", () => {
  const root = document.documentElement;
  const outside = [...document.querySelectorAll("body *")].filter((element) => {
    if (element.closest(".scroll") && !element.matches(".scroll")) return false;
    return element.getBoundingClientRect().right > root.clientWidth + 1;
  });
  const table = document.querySelector("table.sortable");
  const ranks = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
  const before = ranks();
  table.tHead.rows[0].cells[0].querySelector("button").click();
  table.tHead.rows[0].cells[0].querySelector("button").click();
  const sorted = ranks();
  const filter = document.querySelector("input[type=search]");
  filter.value = "deep tanh";
  filter.dispatchEvent(new Event("input"));
  parent.postMessage({
    width: innerWidth,
    scrollWidth: root.scrollWidth,
    outside: outside.map((element) => element.tagName + "." + element.className),
    before, sorted, filtered: ranks().length,
    fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
    errors,
  }, "*");
});
</script>
"""
FRAME = """<!doctype html><title>-</title><style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<script>addEventListener("message", (event) => {{ document.title = JSON.stringify(event.data); }});</script>
<iframe src="measured.html" width="{width}" height="900"></iframe>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")

    def score(point, seed):
        level = {"shallow": 0.90, "medium": 0.92, "deep": 0.94, "relu": 0.004, "sigmoid": 0.0, "tanh": 0.002}
        return level[point["depth"]] + level[point["activation"]] + 0.0005 * ((7 * seed + len(point["loss"])) % 5)

    sweep = made_up_sweep(validation_size=0, selection="train_accuracy", protocol="published")
    experiment = write_experiment(
        folder / "e", score, rng=np.random.default_rng(0), sweep=sweep, missing=["shallow-tanh-hinge"]
    )
    page = write_report([experiment], folder / "out").read_text()
    (folder / "measured.html").write_text(page.replace("<head>", "<head>" + MEASURE, 1))
    return folder


def chromium(folder, *options):
    """Runs a headless Chromium that can reach no host, and gives what it printed."""
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000",
        *options,
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr[-2000:]
    complaints = [line for line in finished.stderr.splitlines() if ":CONSOLE" in line]
    assert complaints == []
    return finished.stdout


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_fetches_nothing_and_works(folder, width, scheme):
    (folder / "frame.html").write_text(FRAME.format(width=width))
    preferred = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    dom = chromium(folder, preferred, "--window-size=1400,1000", "--dump-dom", f"file://{folder / 'frame.html'}")
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]
    measured = json.loads(title.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert measured["width"] == width
    assert measured["outside"] == []
    assert measured["scrollWidth"] <= width
    assert measured["errors"] == []
    assert [name for name in measured["fetched"] if not name.startswith("data:")] == []
    assert measured["before"] == [str(rank + 1) for rank in range(len(measured["before"]))]
    assert measured["sorted"] == measured["before"][::-1]
    assert measured["filtered"] == 2


def test_the_page_prints(folder):
    pdf = folder / "report.pdf"
    chromium(folder, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", f"file://{folder / 'out' / 'report.html'}")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 4 <= pages <= 25
