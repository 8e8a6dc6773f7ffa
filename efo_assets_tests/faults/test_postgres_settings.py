"""Settings of a server, database or role that change what SQL means or how values are written."""

import psycopg
import pytest

from efo_assets.errors import DatabaseRefused
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import audit
from efo_assets.warehouse.session import Connection
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import ask, connected
from efo_assets_tests.faults.engine import load_once
from efo_assets_tests.faults.fake_ols import FakeOls
from efo_assets_tests.faults.invariants import Oracle
from efo_assets_tests.faults.worlds import CLASSES, SEED, World
from efo_assets_tests.warehouse.loads import publish, stage, term

AGAINST_US = {
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "escape_string_warning": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "check_function_bodies": "off",
    "search_path": "planted, public, pg_catalog",
    "client_encoding": "latin1",
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Pacific/Chatham",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "xmlbinary": "hex",
    "xmloption": "document",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "exit_on_error": "on",
    "default_text_search_config": "pg_catalog.simple",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "gin_fuzzy_search_limit": "1",
    "statement_timeout": "200ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "200ms",
    "transaction_timeout": "200ms",
    "work_mem": "64kB",
    "lc_messages": "C",
    "lc_numeric": "C",
    "client_min_messages": "error",
    "plan_cache_mode": "force_generic_plan",
}
"""Every setting that could change what a statement means, as far from the default as it goes."""


def set_for_owner(server: DatabaseTarget, name: str, settings: dict[str, str]) -> None:
    with connected(server, dbname=name, autocommit=True) as admin:
        for key, value in settings.items():
            values = value if key == "search_path" else f"'{value}'"
            admin.execute(f'alter role efo_owner in database "{name}" set {key} = {values}')


@pytest.mark.fault("D30")
def test_settings_against_us_change_no_row_and_no_answer(
    fresh: World, server: DatabaseTarget, ols: FakeOls
) -> None:
    owner = fresh.settings.database
    assert owner is not None
    name = owner.parameters["dbname"]
    plain = DatabaseTarget({**server.parameters, "dbname": name})
    set_for_owner(server, name, AGAINST_US)
    for number in (1, 2):
        ols.release = number
        assert load_once(fresh.settings).is_new
        assert Oracle(plain, CLASSES, SEED).assert_well() == number
    ((label,),) = ask(
        plain, "select min(label) from efo_terms where not is_obsolete and label ~ '^[ -~]+$'"
    )
    for query in (
        "select iri from public.efo_lookup(%s)",
        "select iri from public.efo_search(%s)",
    ):
        expected = ask(plain, query, label)
        assert expected
        assert ask(owner, query, label) == expected


@pytest.mark.fault("D30")
@pytest.mark.parametrize(
    ("setting", "expression"),
    [
        ("standard_conforming_strings = off", "a backslash"),
        ("transform_null_equals = on", "null = null"),
        ("array_nulls = off", "a null in an array"),
    ],
)
def test_a_setting_that_got_past_us_fails_the_audit(
    warehouse: Warehouse, setting: str, expression: str
) -> None:
    load = stage(warehouse, terms=[term("a")])

    def connect() -> Connection:
        connection = warehouse.connect()
        connection.settings += psycopg.sql.SQL(f"; set local {setting}")
        return connection

    with connect() as connection:
        verdicts = audit.audit(connection, load, connect=connect)
    (failed,) = (verdict for verdict in verdicts if not verdict.passed)
    assert failed.check.name == "sql_means_what_it_says"
    assert [sample["expression"] for sample in failed.samples] == [expression]


@pytest.mark.fault("D30")
def test_foreign_keys_that_are_turned_off_are_refused_by_the_name_of_the_setting(
    database: DatabaseTarget, server: DatabaseTarget
) -> None:
    name = database.parameters["dbname"]
    set_for_owner(server, name, {"session_replication_role": "replica"})
    with (
        Warehouse(database) as warehouse,
        pytest.raises(DatabaseRefused, match=r"session_replication_role is replica.*reset"),
    ):
        publish(warehouse, terms=[term("a")])
