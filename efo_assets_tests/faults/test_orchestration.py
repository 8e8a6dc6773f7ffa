"""What Dagster, its storage or a person at its UI can do at the wrong moment: group O."""

from typing import Any

import pytest

from efo_assets.warehouse import audit
from efo_assets_tests.faults.worlds import World
from efo_assets_tests.graph.materializing import STAGED, Graph, failure


@pytest.fixture
def graph(loaded: World, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Release 1 is published, and release 2 is served."""
    loaded.ols.release = 2
    settings = loaded.settings
    made = Graph(monkeypatch, loaded.oracle.database, settings.data_dir, settings.ols_url)
    made.configure(EFO_PAGE_SIZE=str(settings.page_size))
    return made


@pytest.mark.fault("O12")
@pytest.mark.parametrize("again", [(), ("efo_terms",)])
def test_staged_rows_changed_after_the_audit_are_not_published(
    graph: Graph, loaded: World, again: tuple[str, ...]
) -> None:
    graph.materialize("raw_ols_pages")
    assert graph.materialize(*STAGED).success
    ((schema,),) = loaded.oracle.ask(
        "select 'efo_load_' || load_id from efo_meta.loads where state = 'staged'"
    )
    loaded.oracle.ask(f"update {schema}.terms set label = 'else' returning 1")
    if again:
        assert "no passed verdict for its present content" in failure(graph.materialize(*again))
        assert loaded.oracle.assert_well() == 1
    assert graph.materialize().success, "a whole run stages them anew"
    assert loaded.oracle.assert_well() == 2


@pytest.mark.fault("O14")
def test_an_audit_that_breaks_leaves_no_verdict_and_publishes_nothing(
    graph: Graph, loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the audit is broken")

    with monkeypatch.context() as patched:
        patched.setattr(audit, "_verdict", broken)
        assert not graph.materialize().success
        assert loaded.oracle.assert_well() == 1
    assert "is not published" in failure(graph.materialize("efo_terms"))
    assert loaded.oracle.assert_well() == 1
    assert graph.materialize().success
    assert loaded.oracle.assert_well() == 2


@pytest.mark.fault("O14")
@pytest.mark.parametrize(
    "change", [{"blocking": False, "passed": False}, {"passed": False}, {"check_name": "else"}]
)
def test_a_verdict_that_only_warns_failed_or_is_missing_publishes_nothing(
    graph: Graph, loaded: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    real = audit._verdict_row

    def changed(*given: Any) -> dict[str, Any]:
        row = real(*given)
        return row | change if row["check_name"] == "terms_are_unique" else row

    with monkeypatch.context() as patched:
        patched.setattr(audit, "_verdict_row", changed)
        assert "is not published" in failure(graph.materialize())
    assert loaded.oracle.assert_well() == 1
