"""What must always hold, asserted after every fault: the invariants I1 to I6 of the fault list.

`Oracle` knows the generated releases, so what is published is compared with what was generated
and never with what the loader made of it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from efo_assets.errors import PageStoreError
from efo_assets.ols.release import Totals
from efo_assets.ols.stored_pages import PageEntry, PageSet, read_manifest
from efo_assets.sample.ontology import FIRST_VERSION, GeneratedRelease, release
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.audit import BLOCKING
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.engine import PAGE_SIZE
from efo_assets_tests.graph.materializing import published_ancestors, published_rows
from efo_assets_tests.oracle.derived import expected_ancestors
from efo_assets_tests.oracle.rows import expected_rows
from efo_assets_tests.oracle.tables import ExpectedRows

MOST_LOAD_SCHEMAS = 4
"""The one that is published, a live one, and two kept for diagnosis."""
DEAD = "_gone"
"""In the name of a load that a fault made up."""
TABLES = ("terms", "synonyms", "parent_edges", "xrefs", "replacements", "mesh_terms")


@lru_cache(maxsize=8)
def rows_of(classes: int, seed: int, number: int) -> ExpectedRows:
    """What the database must hold for a generated release."""
    return expected_rows(release(classes, seed, number))


class Oracle:
    """Asks a database whether all is well, as its owner."""

    def __init__(self, database: DatabaseTarget, classes: int, seed: int) -> None:
        self.database = database
        self.classes = classes
        self.seed = seed

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with connected(self.database) as connection:
            return connection.execute(query).fetchall()

    def clients(self) -> int:
        """Connections of the engine that PostgreSQL still has."""
        rows = self.ask(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name = 'efo_assets'"
        )
        return int(rows[0][0])

    def standing(self) -> int | None:
        """The number of the release that the ledger calls the newest; None before the first."""
        if self.ask("select to_regclass('efo_meta.releases')") == [(None,)]:
            return None
        rows = self.ask("select version from efo_meta.releases order by release_id desc limit 1")
        return int(rows[0][0].split(".")[1]) - FIRST_VERSION if rows else None

    def assert_well(self) -> int | None:
        """Assert the invariants; return the number of the release that stands."""
        number = self.standing()
        self._assert_published(number)
        self._assert_proven()
        self._assert_bounded()
        return number

    def _assert_published(self, number: int | None) -> None:
        if number is None:
            assert self.ask("select to_regclass('public.efo_terms')") == [(None,)]
            return
        expected, published = rows_of(self.classes, self.seed, number), published_rows(self.ask)
        for name in TABLES:
            missing: frozenset[Any] = getattr(expected, name) - published[name]
            extra = published[name] - getattr(expected, name)
            assert not missing, f"release {number}: {name} lacks {sorted(missing)[:2]}"
            assert not extra, f"release {number}: {name} has {sorted(extra)[:2]} too much"
        ancestors = published_ancestors(self.ask)
        assert ancestors == expected_ancestors(expected.parent_edges), (
            f"release {number}: ancestors"
        )

    def _assert_proven(self) -> None:
        """Every publication had all verdicts, for just its content, and is one of its load."""
        if self.ask("select to_regclass('efo_meta.releases')") == [(None,)]:
            return
        unproven = self.ask(
            "select r.release_id, count(v.*) from efo_meta.releases as r"
            " left join efo_meta.verdicts as v on v.load_id = r.load_id"
            # A few terms without a label are a warning.
            " and (v.passed or not v.blocking) and v.content_hash = r.content_hash"
            f" and v.check_name = any(array{list(BLOCKING)})"
            f" group by 1 having count(v.*) <> {len(BLOCKING)}"
        )
        assert not unproven, f"published without its verdicts: {unproven}"
        twice = self.ask(
            "select load_id from efo_meta.releases group by load_id having count(*) > 1"
        )
        assert not twice, f"published twice: {twice}"

    def _assert_bounded(self) -> None:
        schemas = self.ask(
            "select nspname from pg_namespace where nspname like 'efo_load_%'"
            f" and nspname not like '%{DEAD}%'"
        )
        assert len(schemas) <= MOST_LOAD_SCHEMAS, schemas

    def assert_dead_are_gone(self) -> None:
        """Assert that nothing is left of the loads of dead processes that a fault made up."""
        left = self.ask(f"select nspname from pg_namespace where nspname like '%{DEAD}%'")
        assert not left, left


def kept_pages(data_dir: Path, served: GeneratedRelease) -> set[tuple[str, int]]:
    """List and number of every page of a release that is kept as its manifest says."""
    obsolete = sum(bool(each.is_obsolete) for each in served.classes)
    totals = Totals(len(served.classes) - obsolete, obsolete, len(served.classes))
    return {
        (key.listing, key.number)
        for pages in _page_sets(data_dir)
        for key, entry in pages.entries.items()
        if (pages.plan.release.version, pages.plan.release.totals) == (served.version, totals)
        and pages.plan.release.loaded == served.timestamp
        and pages.plan.page_size == PAGE_SIZE
        and _is_as_stored(pages.folder / entry.file_name, entry)
    }


def _page_sets(data_dir: Path) -> Iterator[PageSet]:
    for manifest in (data_dir / "pages").rglob("manifest.jsonl"):
        with suppress(PageStoreError):  # of another format, or damaged
            if page_set := read_manifest(manifest.parent):
                yield page_set


def _is_as_stored(file: Path, entry: PageEntry) -> bool:
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == entry.sha256
