"""The page in a real browser: no complaint, every picture there, and a table that sorts by a click."""

import json
import re
import shutil
from html import unescape

import pytest

from simswap.comparison.collected import load_local
from simswap.comparison.comparison import compare_runs
from simswap.comparison.output import write_all
from simswap.comparison.run_settings import keep_where
from simswap.comparison.sections import sections_of
from tests.comparison.made import made_run
from tests.skips import NO_BROWSER
from tests.waiting import finished

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         "--virtual-time-budget=20000", "--dump-dom")  # fmt: skip

# What a person would do, and what they would see, written into the page's own title.
PROBE = """
<script>
addEventListener("load", () => {  // by then every picture is loaded; no waiting, which virtual time may cut off
  const images = [...document.images];
  const table = document.querySelector("#table-results");
  const first = () => [...table.tBodies[0].rows].map((row) => row.cells[2].dataset.value);
  const head = table.tHead.rows[0].cells[2];
  const orders = [first()];
  for (let clicks = 0; clicks < 2; clicks++) {
    head.querySelector("button").click();
    orders.push(first().concat(head.getAttribute("aria-sort")));
  }
  const open = () => [...document.querySelectorAll("details")].map((part) => part.open);
  const folds = [open()];
  for (const moment of ["beforeprint", "afterprint"]) { dispatchEvent(new Event(moment)); folds.push(open()); }
  document.title = JSON.stringify({
    images: images.length, broken: images.filter((image) => !image.complete || image.naturalWidth === 0).length,
    orders, folds, below: table.tBodies[1].rows.length, wider: document.body.scrollWidth > innerWidth,
  });
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"{NO_BROWSER}: none of {', '.join(BROWSERS)} is installed")
    return found


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 500])  # Chromium's window is not narrower than 500
def test_the_page_in_a_browser(browser, tmp_path, width):
    for k, retrieval in enumerate((0.9, 0.1, 0.5)):
        made_run(
            tmp_path / "runs" / str(k), {"objective.weights.identity": 10 * k}, figures={"id_retrieval": retrieval}
        )
    curves = ["train/identity"]
    runs, _ = load_local(str(tmp_path / "runs"), "evaluation", curves, keep_where(None))
    comparison = compare_runs(runs, title="In a browser")
    sections = sections_of(comparison, published=True, curves=curves, pictures=2)
    page = write_all(tmp_path / "out", comparison, sections, "now")
    page.write_text(page.read_text().replace("</body>", PROBE + "</body>"))

    command = [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", page.as_uri()]
    done = finished(*command, capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title, done.stderr[-2000:]
    seen = json.loads(unescape(title.group(1)))
    assert seen["broken"] == 0
    # two rows of target, source and three swaps, the trade-off and the curves
    assert seen["images"] == 12
    assert seen["orders"] == [
        ["0.9", "0.1", "0.5"],
        ["0.1", "0.5", "0.9", "ascending"],
        ["0.9", "0.5", "0.1", "descending"],
    ]
    closed = [False] * len(seen["folds"][0])
    assert closed
    assert seen["folds"] == [closed, [True] * len(closed), closed]  # what is folded is printed
    assert seen["below"] == 2  # the controls stay under the runs
    assert seen["wider"] is False  # the page itself never scrolls sideways
