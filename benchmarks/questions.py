"""What some questions take on a loaded database, once it is warm.

`python -m benchmarks.questions` asks the database that `EFO_*` names and prints JSON: rows and the
best of several tries in milliseconds, by question. With `--hierarchy` it asks for what is above and
below classes by their place in the list, which needs no look at all ancestors.
"""

import json
import sys
import time

from efo_assets.settings import Settings
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.warehouse import Warehouse

TRIES = 5
_MOST_BELOW = """
select t.iri, t.label
from public.efo_ancestors as a join public.efo_terms as t on t.id = a.ancestor_id
group by t.id order by count(*) desc, t.iri limit 1
"""
_QUARTER_BELOW = """
select t.iri
from public.efo_ancestors as a join public.efo_terms as t on t.id = a.ancestor_id
where a.is_a_distance is not null
group by t.id order by abs(count(*) - (select count(*) from public.efo_terms) / 4), t.iri limit 1
"""
_MOST_ABOVE = """
select t.iri
from public.efo_ancestors as a join public.efo_terms as t on t.id = a.term_id
group by t.id order by count(*) desc, t.iri limit 1
"""
_BELOW = "select * from public.efo_descendants(%s)"
_ABOVE = "select * from public.efo_ancestors_of(%s, true)"
_LAST = "select iri from public.efo_terms where not is_obsolete order by id desc limit 1"
_WITH_CHILDREN = """
select p.iri
from public.efo_parent_edges as e
join public.efo_terms as p on p.id = e.parent_id
where
    e.child_id >= (select id from public.efo_terms order by id offset 1 + (%s * %s)::bigint limit 1)
    and not p.is_obsolete
order by e.child_id limit 1
"""
_BY_KEY = """
select * from public.efo_ancestors where term_id = (select id from public.efo_terms where iri = %s)
"""
_NAMED = "select * from public.efo_lookup(%s)"


def main() -> None:
    """Ask and print."""
    settings = Settings.from_environment()
    with Warehouse.opened(settings) as warehouse, warehouse.connect() as connection:
        if "--hierarchy" in sys.argv:
            json.dump(_of_hierarchy(connection), sys.stdout)
            return
        ((broadest, label),) = connection.execute(_MOST_BELOW).fetchall()
        ((broad,),) = connection.execute(_QUARTER_BELOW).fetchall()
        ((deepest,),) = connection.execute(_MOST_ABOVE).fetchall()
        questions = {
            "all descendants of the broadest term": (_BELOW, broadest),
            "all descendants of one that has a quarter of the classes": (_BELOW, broad),
            "all ancestors of the deepest": (_ABOVE, deepest),
            "a label looked up": (_NAMED, label),
        }
        answers = {what: _best(connection, *question) for what, question in questions.items()}
    json.dump(answers, sys.stdout)


def _of_hierarchy(connection: Connection) -> dict[str, tuple[int, float]]:
    """What is above the last class, and below classes nearer and nearer to the first."""
    classes, *_ = connection.row("select count(*) from public.efo_terms")
    last, *_ = connection.row(_LAST)
    root, narrow, broad = (
        connection.row(_WITH_CHILDREN, [classes, share])[0] for share in (0, 0.05, 0.001)
    )
    questions = {
        "all ancestors of the last class": (_ABOVE, last),
        "the same from `efo_ancestors`": (_BY_KEY, last),
        "all descendants of a narrow class": (_BELOW, narrow),
        "of a broad one": (_BELOW, broad),
        "of the root": (_BELOW, root),
    }
    return {what: _best(connection, *question) for what, question in questions.items()}


def _best(connection: Connection, query: str, value: str) -> tuple[int, float]:
    """Rows, and milliseconds until the last of them was here."""
    took_ms = []
    rows = 0
    for _ in range(TRIES):
        began = time.monotonic()
        rows = len(connection.execute(query, [value]).fetchall())
        took_ms.append((time.monotonic() - began) * 1000)
    return rows, min(took_ms)


if __name__ == "__main__":
    main()
