"""The page in a real browser: nothing overflows, nothing is fetched, nothing complains, on screen, phone and paper."""

import html
import http.server
import json
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from hostile import hostile, write_hostile_experiment
from made_up import made_up_sweep, write_experiment

from sweep.errors import one_line
from sweep.records import read_state
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
        return level[point["depth"]] + level[point["activation"]] + 0.0005 * seed + 0.0001 * len(point["loss"])

    sweep = made_up_sweep(validation_size=0, selection="train_accuracy", protocol="published")
    experiment = write_experiment(
        folder / "e", score, rng=np.random.default_rng(0), sweep=sweep, missing=["shallow-tanh-hinge"]
    )
    page = write_report([read_state(experiment)], folder / "out").read_text()
    (folder / "measured.html").write_text(page.replace("<head>", "<head>" + MEASURE, 1))
    return folder


# Before the page's own policy, so that it may run; whatever else runs calls `ran`.
WATCH = """
<script>
let runs = 0;
const refused = [], errors = [];
function ran() { runs += 1; }
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
addEventListener("load", () => setTimeout(() => {
  for (const element of document.querySelectorAll("main *")) {
    for (const kind of ["mouseover", "focus", "click", "load", "error"]) element.dispatchEvent(new Event(kind));
  }
  const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
  const text = document.body.textContent.replaceAll("\\u00a0", " ");
  const sorts = document.querySelectorAll("th button").length;
  parent.postMessage({ runs, refused, errors, fetched, text, sorts }, "*");
}, 500));
</script>
"""


def watched(folder, page):
    """What a page does when it is opened and everything on it is touched."""
    (folder / "measured.html").write_text(page.replace("<head>", "<head>" + WATCH, 1))
    (folder / "frame.html").write_text(FRAME.format(width=1280))
    dom = chromium(folder, "--dump-dom", f"file://{folder / 'frame.html'}", complaints=True)
    return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]))


def test_a_hostile_experiment_runs_nothing_fetches_nothing_and_is_shown_as_text(tmp_path):
    write_report([read_state(write_hostile_experiment(tmp_path / "e"))], tmp_path / "out")
    done = watched(tmp_path, (tmp_path / "out" / "report.html").read_text())
    assert (done["runs"], done["refused"], done["errors"]) == (0, [], [])
    assert [name for name in done["fetched"] if not name.startswith("data:")] == []
    assert done["sorts"] > 5  # the page's own script did run
    shown = ("shallow", "deep", "tanh", "hinge", "data", "command", "commit", "class 3", "gpu")
    assert [what for what in shown if one_line(hostile(what)) not in done["text"]] == []


@pytest.fixture
def asked():
    """The requests that a server on this machine has had, and its address."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield requests, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_policy_of_the_page_stops_what_gets_into_it_all_the_same(tmp_path, folder, asked):
    requests, server = asked
    page = (folder / "out" / "report.html").read_text()
    smuggled = (
        "<script>ran()</script><svg onload=ran()></svg><img src=data:x onerror=ran()><form action=x></form>"
        f"<img src={server}/a><link rel=stylesheet href={server}/b><iframe src={server}/c></iframe>"
        f"<script src={server}/d></script><base href={server}/><object data={server}/e></object>"
        f"<video src={server}/f></video><a href=javascript:ran() id=smuggled>x</a>"
    )
    page = page.replace("<main>", "<main>" + smuggled, 1)
    done = watched(tmp_path, page)
    assert (done["runs"], requests) == (0, [])
    assert set(done["refused"]) == {
        "script-src-elem", "script-src-attr", "img-src", "style-src-elem", "frame-src", "base-uri", "object-src",
        "media-src",
    }  # fmt: skip
    done = watched(tmp_path, re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page))
    assert done["runs"] > 1
    assert {"/a", "/b", "/c", "/d"} <= set(requests)


def chromium(folder, *options, complaints=False):
    """Runs a headless Chromium that can reach no other host, and gives what it printed; `complaints` may be heard."""
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
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000",
        *options,
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert complaints or [line for line in finished.stderr.splitlines() if ":CONSOLE" in line] == []
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
