"""Releases whose every row tells which release it is of, and a statement that finds mixtures."""

from typing import Any

import psycopg

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse.load import Load
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import Rows, edge, stage, synonym, term, xref

TERMS = 9
"""Fewer than `profile.FEW_ROWS`, so that every edge may be of another kind in the next release."""

LOOK = """
select
    (select r.version from efo_meta.releases as r order by r.release_id desc limit 1),
    (
        select count(distinct (t.id, s.synonym, e.parent_id, x.accession))
        from public.efo_terms as t
        join public.efo_synonyms as s on s.term_id = t.id
        join public.efo_parent_edges as e on e.child_id = t.id
        join public.efo_xrefs as x on x.term_id = t.id
        where t.removed_in is null
    ),
    array(
        select distinct substring(marked.text from '[0-9]+$')
        from (
            select label from public.efo_terms where removed_in is null
            union all
            select synonym from public.efo_synonyms
            union all
            select predicate from public.efo_parent_edges
            union all
            select accession from public.efo_xrefs
        ) as marked (text)
    )
"""


def rows(version: int) -> Rows:
    """All rows of a release: each changes with every release, edges and all."""
    names = [f"t{number:02}" for number in range(TERMS)]
    return {
        "terms": [term(name, f"label of {name} in release {version}") for name in names],
        "synonyms": [synonym(name, f"{name} in release {version}") for name in names],
        "edges": [
            edge(name, names[(number + version) % TERMS], f"http://example.org/relation/{version}")
            for number, name in enumerate(names)
        ],
        "xrefs": [xref(name, "umls", f"C{number}.{version}") for number, name in enumerate(names)],
    }


def audited(warehouse: Warehouse, version: int) -> Load:
    """A load of this release, staged and audited."""
    load = stage(warehouse, str(version), **rows(version))
    assert all(verdict.passed for verdict in warehouse.audit(load))
    return load


def publish_marked(warehouse: Warehouse, version: int) -> Any:
    """Stage, audit and publish this release."""
    return warehouse.publish(audited(warehouse, version))


def release_seen(connection: psycopg.Connection[Any]) -> int:
    """The release that one statement sees in all tables and in the ledger; fails on a mixture."""
    row = connection.execute(LOOK).fetchone()
    assert row is not None
    version, joined, found = row
    assert found == [version], f"a mixture: the ledger says {version}, the rows say {found}"
    assert joined == TERMS, f"{joined} of {TERMS} terms are whole"
    return int(version)


def release_published(target: DatabaseTarget) -> int:
    """The release that stands published, whole."""
    with connected(target, autocommit=True) as connection:
        return release_seen(connection)


def publications(target: DatabaseTarget) -> list[tuple[Any, ...]]:
    """Version of each publication in the ledger, oldest first."""
    with connected(target, autocommit=True) as connection:
        return connection.execute(
            "select version from efo_meta.releases order by release_id"
        ).fetchall()
