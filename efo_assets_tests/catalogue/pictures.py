"""Pictures of a catalogue in Dagster's UI, for the docs, taken in a real browser.

They show what the webserver of a `Scene` serves: Debian's chromium, without a profile of its own.
"""

from pathlib import Path
from typing import Any

from efo_assets.warehouse.tables import TABLES
from efo_assets_tests.graph import test_ui
from efo_assets_tests.graph.test_ui import CHROMIUM, CHROMIUM_FLAGS, STATES_COME_MS

WIDTH, HEIGHT = 1500, 860
PATIENCE_MS = 300_000
RUN_OF = """
query ($tags: [ExecutionTag!]) {
  runsOrError(filter: {tags: $tags}) {... on Runs {results {runId}}}
}
"""


def take(ui: str, graphql: Any, folder: Path, ontology: str, failed: str) -> None:
    """Picture the partitions, the run of an ontology that `failed`, and the graph."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the extra `browser`

    tags = [{"key": "dagster/partition", "value": failed}]
    run = graphql(RUN_OF, tags=tags)["runsOrError"]["results"][0]["runId"]
    pages = {
        "catalogue_partitions": (
            f"assets/ols/terms?view=partitions&partition={ontology}",
            "bytes_on_disk",
        ),
        "catalogue_failed": (f"runs/{run}", "STEP_FAILURE"),
    }
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(PATIENCE_MS)
        for name, (path, shown) in pages.items():
            page.goto(f"{ui}/{path}", wait_until="domcontentloaded")
            try:
                page.get_by_text(shown).first.wait_for()
            finally:
                page.wait_for_timeout(STATES_COME_MS)
                page.screenshot(path=folder / f"{name}.png")
        page.set_viewport_size({"width": test_ui.WIDTH, "height": test_ui.HEIGHT})
        test_ui.expand_all_groups(page, ui, "ols_staged")
        test_ui.zoom_out_until_drawn(page, [table.staged_name for table in TABLES])
        page.screenshot(path=folder / "catalogue_graph.png", clip=test_ui.bounds(page))
        browser.close()
