"""The UI as `make dev` serves it: the graph is there, and "Materialize all" loads a release."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import pytest

from efo_assets.sample.ontology import release
from efo_assets.warehouse.embedded import remove
from efo_assets.warehouse.tables import TABLES
from efo_assets_tests.commands import ROOT, free_port
from efo_assets_tests.graph.materializing import Graph
from efo_assets_tests.oracle.rows import expected_rows

CLASSES = 400
SEED = 11
PATIENCE_S = 120.0
POLL_S = 0.2
ZOOM_STEPS = 20
MARGIN_PX = 16
STATES_COME_MS = 5_000
WIDTH, HEIGHT = 2800, 2400
"""Of the window, with room for the whole graph."""
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture
def ui(graph: Graph, tmp_path: Path) -> Iterator[str]:
    """The address of `make dev`, with the module name exported as the README's shell has it."""
    graph.configure(DAGSTER_MODULE_NAME="efo_assets.definitions")
    port, venv = free_port(), Path(sys.prefix)
    made = [f"PORT={port}", f"VENV={venv}", f"UI_HOME={tmp_path / 'home'}"]
    with (tmp_path / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "--old-file", f"{venv}/.installed", "dev", *made],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _until_it_answers(f"http://127.0.0.1:{port}", process, tmp_path / "dev.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            # Ctrl-C reaches all that the terminal started.
            os.killpg(process.pid, signal.SIGINT)
            process.wait(PATIENCE_S)


def test_make_dev_with_sample_serves_generated_data_and_leaves_nothing(clusters: Path) -> None:
    here, port, venv = clusters / "ui", free_port(), Path(sys.prefix)
    here.mkdir()
    for name in ("Makefile", "dagster.yaml", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, here)
    made = [f"PORT={port}", f"VENV={venv}", "SAMPLE=1"]
    with (here / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "--old-file", f"{venv}/.installed", "dev", *made],
            cwd=here,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _until_it_answers(f"http://127.0.0.1:{port}", process, here / "dev.log")
            said = (here / "dev.log").read_text()
            offered = re.search(r"efo-assets (sample release 2 --url \S+)", said)
            assert offered, said
            switch = [sys.executable, "-m", "efo_assets", *offered[1].split()]
            subprocess.run(switch, check=True)
        finally:
            started = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(PATIENCE_S)
            servers = list((here / ".efo" / "demo").glob("postgres-*/postmaster.pid"))
            remove(here / ".efo" / "demo")
    assert servers == []
    assert psutil.wait_procs(started, PATIENCE_S)[1] == []
    assert "Traceback" not in (here / "dev.log").read_text()


def _until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/server_info"):
                return
        except URLError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
    pytest.fail(f"the UI did not come up:\n{log.read_text()[-3000:]}")


def ask(ui: str, query: str, **variables: Any) -> Any:
    """The data of a GraphQL answer."""
    request = Request(
        f"{ui}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request) as answer:
        return json.load(answer)["data"]


def test_make_dev_serves_the_lineage_graph(ui: str) -> None:
    found = ask(
        ui, "{assetNodes {assetKey {path} groupName dependencies {asset {assetKey {path}}}}}"
    )
    nodes = {node["assetKey"]["path"][-1]: node for node in found["assetNodes"]}
    assert nodes.keys() == {
        "ols_ontology",
        "raw_ols_pages",
        "efo_release",
        *(table.staged_name for table in TABLES),
        *(table.name for table in TABLES),
        *(f"{table.name}_parquet" for table in TABLES),
        "efo_mesh_terms_sssom",
        "efo_replacements_tsv",
        "efo_release_report",
    }
    above = {each["asset"]["assetKey"]["path"][-1] for each in nodes["efo_terms"]["dependencies"]}
    assert above == {"terms", "efo_release"}
    assert {node["groupName"] for node in nodes.values()} == {"raw", "staged", "efo", "exports"}


@pytest.mark.campaign
def test_materialize_all_succeeds_in_a_real_browser(
    ui: str, graph: Graph, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="make ui installs it")
    if not CHROMIUM.exists():
        pytest.skip("apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{ui}/asset-groups", wait_until="domcontentloaded")
        page.get_by_role("button", name="Materialize all").click()
        page.get_by_text("Launched run").wait_for()
        page.goto(f"{ui}/runs")
        page.get_by_text("Success").first.wait_for(timeout=PATIENCE_S * 1000)
        expand_all_groups(page, ui, "staged")
        zoom_out_until_drawn(page, [table.name for table in TABLES])
        for table in TABLES:
            page.get_by_text(table.name, exact=True).first.wait_for()
        picture = pytestconfig.getoption("--picture") or tmp_path / "lineage.png"
        page.screenshot(path=picture, clip=bounds(page))
        browser.close()
    assert graph.published()["terms"] == expected_rows(release(CLASSES, SEED, 1)).terms


def bounds(page: Any) -> Any:
    """The part of the window that the graph's boxes take, and a margin."""
    boxes = [each.bounding_box() for each in page.locator("foreignObject").all()]
    drawn = [box for box in boxes if box is not None]
    left, top = (min(box[side] for box in drawn) - MARGIN_PX for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in drawn) + MARGIN_PX
    bottom = max(box["y"] + box["height"] for box in drawn) + MARGIN_PX
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def expand_all_groups(page: Any, ui: str, group: str) -> None:
    """Show the whole lineage, in a window of `WIDTH` and `HEIGHT`; `group` is one of its groups."""
    page.goto(f"{ui}/asset-groups", wait_until="domcontentloaded")
    page.get_by_text(group, exact=True).last.wait_for()
    page.mouse.click(WIDTH / 2, HEIGHT - 200, button="right")
    page.get_by_text("Expand all groups").last.click()
    page.get_by_role("button", name="Hide navigation").click()
    page.get_by_text("raw_ols_pages", exact=True).last.wait_for()


def zoom_out_until_drawn(page: Any, names: list[str]) -> None:
    """Only what is in sight is drawn, and the whole graph is larger than a window."""
    zoom_out = page.locator('[aria-label="zoom_out"]').last
    for _ in range(ZOOM_STEPS):
        if all(page.get_by_text(name, exact=True).count() for name in names):
            break
        zoom_out.click()
        page.wait_for_timeout(300)
    zoom_out.click()
    # What a box shows of its asset comes after the box.
    page.wait_for_timeout(STATES_COME_MS)
