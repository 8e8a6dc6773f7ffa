"""What stands in all schemas of a database, for people: the view and `efo-assets status`."""

import re
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from efo_assets.__main__ import cli
from efo_assets.errors import AuditNotPassed
from efo_assets.sample.catalogue import BAD, Member
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import ask
from efo_assets_tests.faults.engine import load_once, settings_for


def test_every_schema_is_listed_with_its_release_and_newest_verdict(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    with running_sample(ontology="sample", catalogue=[*BAD, Member("small", 40)]) as sample:

        def settings(ontology: str, schema: str | None = None) -> Settings:
            names = {"ontology": ontology, "schema": schema or ontology}
            return settings_for(sample.url, database, tmp_path, **names)

        url = psycopg.conninfo.make_conninfo(**database.parameters)
        environment = {"EFO_DATABASE_URL": url, "EFO_DATA_DIR": str(tmp_path)}

        def status() -> str:
            done = CliRunner(env=environment).invoke(cli, ["status"])
            assert done.exit_code == 0, done.output
            return done.output

        load_once(settings("sample", "public"))
        alone = status()
        assert "In this database" not in alone
        load_once(settings("small"))
        with pytest.raises(AuditNotPassed):
            load_once(settings("cyclic"))
        # One that stands, and whose next release is refused.
        sample.catalogue = {**sample.catalogue, "small": Member("small", 40, "no label")}
        sample.publish(2)
        with pytest.raises(AuditNotPassed):
            load_once(settings("small"))
    with Warehouse(database) as warehouse:
        standing = {schema: facts for schema, *facts in warehouse.ontologies()}
    refused = "refused by "
    assert standing["public"][:2] == ["sample 1.0", "published"]
    assert standing["public"][-1] == "passed"
    assert standing["small"][:2] == ["small 1.0", "refused"]
    assert re.fullmatch(f"{refused}.*terms_have_labels.*", standing["small"][-1])
    assert standing["cyclic"] == [
        "cyclic", "refused", None, None, f"{refused}edges_have_no_cycle",
    ]  # fmt: skip
    rows = ask(
        database,
        "select schema_name, terms, row_count, age < interval '1 hour', audited_version"
        " from efo_meta.ontologies order by 1",
    )
    assert [(name, terms) for name, terms, *_ in rows] == [
        ("cyclic", None),
        ("public", 200),
        ("small", 40),
    ]
    (counted,) = ask(
        database,
        "select sum(c.value::bigint) from efo_meta.releases, jsonb_each_text(counts) as c"
        " where target_schema = 'small'",
    )[0]
    assert rows[2][2:] == (counted, True, "2.0")
    told = status()
    assert told.startswith(alone.splitlines()[0])
    assert re.search(r"\nIn this database:\nschema +release +state +age +rows +newest", told)
    assert re.search(r"\npublic +sample 1\.0 +published +0 h \d+ min +[\d,]+ +passed\n", told)
