"""What stands in all schemas of a database, for people: the view and `efo-assets status`."""

import json
import re
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from efo_assets.__main__ import cli
from efo_assets.errors import AuditNotPassed, UnknownOntology
from efo_assets.sample.catalogue import BAD, Member
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse import migrations
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import ask, connected
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

        def status(*words: str) -> str:
            done = CliRunner(env=environment).invoke(cli, ["status", *words])
            assert done.exit_code == 0, done.output
            return done.output

        load_once(settings("sample", "public"))
        alone = status()
        assert "In this database" not in alone
        sample.state.hidden = ["sample"]
        with pytest.raises(UnknownOntology):
            load_once(settings("sample", "public"))
        assert re.fullmatch(
            re.escape(alone) + r"\nThe newest load of sample into schema public failed at "
            r"[-0-9]{10} [0-9:]{5} \(UTC\): OLS at .* does not hold the ontology 'sample'.*\n",
            status(),
        )
        sample.state.hidden = []
        load_once(settings("sample", "public"))
        assert status() == alone
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
    assert "\nIn this database: 2 refused, 1 published\nschema" in told
    assert re.search(r"\nschema +release +state +age +rows +newest", told)
    assert re.search(r"\nThe newest load of cyclic into schema cyclic failed at .*no_cycle", told)
    assert re.search(r"\npublic +sample 1\.0 +published +0 h \d+ min +[\d,]+ +passed\n", told)
    facts = json.loads(status("--json"))
    assert facts["schema"] == "public"
    assert [(each["version"], each["counts"]["terms"]) for each in facts["releases"]] == [
        ("1.0", 200)
    ]
    assert [
        (each["schema_name"], each["state"], each["version"], each["terms"], each["refused_by"])
        for each in facts["ontologies"]
    ] == [
        ("cyclic", "refused", None, None, ["edges_have_no_cycle"]),
        ("public", "published", "1.0", 200, []),
        ("small", "refused", "1.0", 40, facts["ontologies"][2]["refused_by"]),
    ]
    assert "terms_have_labels" in facts["ontologies"][2]["refused_by"]
    assert 0 <= facts["ontologies"][1]["age_s"] < 3600


MANY = """
insert into efo_meta.loads (
    load_id, target_schema, ontology, version, fingerprint, source_url, format_version,
    is_partial, expected_terms, state
)
select n, 'o' || n, 'o' || n, '1', '', '', 1, false, 1, 'published'
from generate_series(1, 270) as n;
insert into efo_meta.verdicts (
    load_id, check_name, blocking, passed, content_hash, offenders, detail
)
select n, 'check_' || c, true, n > 5, '', 1, '{}'
from generate_series(1, 270) as n, generate_series(1, 30) as c;
insert into efo_meta.releases (
    target_schema, ontology, version, fingerprint, load_id, is_partial, counts, changes,
    content_hash, allowed_shrink, published_at
)
select 'o' || n, 'o' || n, '1', '', n, false, '{"terms": 3}', '{}', '', false,
    now() - n * interval '1 day'
from generate_series(1, 270) as n;
"""


def test_status_of_270_schemas_is_a_line_for_each_and_names_three_checks_at_most(
    database: DatabaseTarget, tmp_path: Path
) -> None:
    url = psycopg.conninfo.make_conninfo(**database.parameters)
    environment = {"EFO_DATABASE_URL": url, "EFO_DATA_DIR": str(tmp_path)}
    empty = CliRunner(env=environment).invoke(cli, ["status", "--json"])
    assert json.loads(empty.output) == {"schema": "public", "releases": [], "ontologies": []}
    with Warehouse(database) as warehouse:
        warehouse.run("setting up", migrations.apply)
    with connected(database) as connection:
        connection.execute(MANY)
    told = CliRunner(env=environment).invoke(cli, ["status"]).output.splitlines()
    begins = told.index("In this database: 265 published, 5 refused")
    assert len(told[begins + 3 :]) == 270
    assert max(map(len, told[begins:])) < 120
    (first,) = [line for line in told if line.startswith("o1 ")]
    assert first.endswith("refused by check_1, check_10, check_11 and 27 more")
