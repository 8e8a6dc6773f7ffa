"""How somebody may change the rows of a load behind the loader's back, in SQL."""

from efo_assets.warehouse.tables import PARENT_EDGES, TABLES

_CHANGED = {
    "terms": "label = label || '!'",
    "synonyms": "sources = '{else}'",
    "parent_edges": "predicate = predicate || '!'",
    "xrefs": "accession = 'D000009'",
    "replacements": "ordinal = ordinal + 1",
    "ancestors": "is_a_distance = 77",
    "mesh_terms": "is_own = not is_own",
    "changes": "after = 'else'",
    "dangling_edges": "predicate = predicate || '!'",
}
"""Staged table to how a row of it is changed."""
_COLUMNS = {
    table.staged_name: ", ".join(column.name for column in table.staged_columns) for table in TABLES
}
_COLUMNS["dangling_edges"] = ", ".join(column.name for column in PARENT_EDGES.copied_columns)
COPIED = tuple(table.staged_name for table in TABLES if not table.is_derived)
PUBLISHED = tuple(table.staged_name for table in TABLES)
EVERY = tuple(_CHANGED)
MUTATIONS, INSERT = 5, 1


def mutations(schema: str, table: str, *, as_copied: bool = False) -> list[str]:
    """So many statements, each of which makes the rows of a table others than they were.

    `as_copied`: before the load is sealed.
    """
    name, names = table, _COLUMNS[table]
    if as_copied and table == PARENT_EDGES.staged_name:
        name, names = PARENT_EDGES.copied_name, _COLUMNS["dangling_edges"]
    where = f"{schema}.{name}"
    one = f"where ctid = (select min(ctid) from {where})"
    delete = f"delete from {where} {one}"
    insert = f"insert into {where} ({names}) select {names} from {where} limit 1"
    update = f"update {where} set {_CHANGED[table]} {one}"
    return [delete, insert, update, f"{delete}; {insert}", f"truncate {where}"]
