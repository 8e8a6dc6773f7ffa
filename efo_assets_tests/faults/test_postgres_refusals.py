"""What PostgreSQL will not give: known before the first request, said in one sentence."""

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import errors as pg

from efo_assets.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    SchemaDrift,
    WarehouseError,
)
from efo_assets.sample.server import running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import preflight, session
from efo_assets.warehouse.schema import Schema
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.faults.cluster import Cluster, running_cluster
from efo_assets_tests.faults.marked import audited, publish_marked, release_published
from efo_assets_tests.faults.pg_proxy import error_response, running_proxy
from efo_assets_tests.graph.materializing import Graph, failure
from efo_assets_tests.warehouse.loads import edge, publish, term

CANARY = "CANARY-right-horse"


@pytest.fixture(scope="module")
def cluster(clusters: Path) -> Iterator[Cluster]:
    with running_cluster(clusters / "refusals") as running:
        yield running


@pytest.fixture
def fresh(cluster: Cluster) -> Iterator[Cluster]:
    cluster.run("drop database efo with (force)", "create database efo owner efo_owner")
    yield cluster
    cluster.allow()


def with_(target: DatabaseTarget, **parameters: str) -> DatabaseTarget:
    return DatabaseTarget({**target.parameters, **parameters})


@pytest.mark.fault("D12")
@pytest.mark.parametrize("password", [{"password": CANARY}, {}], ids=["wrong", "none"])
def test_a_wrong_password_is_refused_at_once_and_never_shown(
    fresh: Cluster, password: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    fresh.run("alter role efo_owner password 'the right one'")
    fresh.allow("local all efo_owner scram-sha-256")
    with running_proxy(fresh.owner) as (proxy, target):
        with pytest.raises(DatabaseRefused, match="does not accept the password") as caught:
            Warehouse(with_(target, **password)).prepare()
        assert proxy.links == 1, "asked once"
        assert CANARY not in f"{caught.value!r} {caplog.text} {target!r}"
        with Warehouse(with_(target, password="the right one")) as warehouse:  # noqa: S106  # the server's own
            warehouse.prepare()


@pytest.mark.fault("D33")
@pytest.mark.parametrize(
    ("change", "parameters", "said"),
    [
        ("select 1", {"password": CANARY}, "the password (28P01: 接続できません)"),
        ("select 1", {"user": "nobody_here"}, "the role or this client (pg_hba.conf) (28000: 接続"),
        ("select 1", {"password": "right", "dbname": "nowhere"}, "the database name (3D000: 接続"),
        ("revoke connect on database efo from public, efo_owner; alter database efo owner to efo",
         {"password": "right"}, "the privilege to connect (42501: 接続できません)"),
        ("alter database efo allow_connections false", {"password": "right"},
         "the connection (55000: 接続できません)"),
    ],
)  # fmt: skip
def test_a_refusal_in_another_language_is_told_by_its_sqlstate(
    fresh: Cluster, change: str, parameters: dict[str, str], said: str
) -> None:
    fresh.run("alter role efo_owner password 'right'", *change.split("; "))
    fresh.allow("local all efo_owner scram-sha-256")
    with running_proxy(fresh.owner) as (proxy, target):
        proxy.translates = True
        with pytest.raises(DatabaseRefused, match=re.escape(f"does not accept {said}")):
            session.connect(with_(target, **parameters))
        assert proxy.links == 1, "asked once"


@pytest.mark.fault("D33")
@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        ("53300", "tut mir leid, schon zu viele Verbindungen", "has no connection left"),
        ("57P03", "das Datenbanksystem startet", "is starting up or shutting down"),
        ("57P01", "Verbindung wird abgebrochen", "is starting up or shutting down"),
        ("08P01", "no more connections allowed (max_client_conn)", "cannot be reached"),
    ],
)
def test_what_passes_is_waited_for_in_any_language(
    database: DatabaseTarget, caplog: pytest.LogCaptureFixture, code: str, text: str, said: str
) -> None:
    with running_proxy(database) as (proxy, target):
        proxy.refusal = error_response(code, text)
        proxy.refusals = 2
        with session.connect(target) as connection:
            assert connection.row("select 1") == (1,)
            with pytest.raises(pg.DivisionByZero, match=r"\Adivision by zero\Z"):
                connection.execute("select 1/0")
        assert proxy.links == 3
        waiting = re.escape(f"waiting for PostgreSQL at {target.place}, up to ")
        assert re.search(rf"{waiting}\d\d s .{code}: {re.escape(text)}.", caplog.text)
        proxy.refusals = 100
        with pytest.raises(DatabaseUnavailable, match=f"{said} .{code}: "):
            session.connect(target, patience_s=0.2)


@pytest.mark.fault("D01")
def test_a_host_that_is_silent_is_told_of_within_seconds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.FIRST_CONNECT_TIMEOUT_S < 5
    monkeypatch.setattr(session, "FIRST_CONNECT_TIMEOUT_S", 2)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        port = str(deaf.getsockname()[1])
        target = DatabaseTarget({"host": "127.0.0.1", "port": port, "sslmode": "disable"})
        monkeypatch.setattr(session, "CONNECT_TIMEOUT_S", 2)
        with pytest.raises(DatabaseUnavailable, match=r"cannot be reached .*timeout"):
            session.connect(target, patience_s=2.2)
    assert re.search(r"up to \d s .connection timeout expired.", caplog.text)


@pytest.mark.fault("D14")
@pytest.mark.parametrize(
    "taken",
    [
        "revoke create on database efo from public, efo_owner; alter database efo owner to efo",
        "alter schema public owner to efo; revoke all on schema public from public, efo_owner",
        "alter table public.efo_terms owner to efo",
        "alter schema efo_meta owner to efo",
        "alter table efo_meta.releases owner to efo",
    ],
)
def test_a_missing_privilege_is_named_with_the_grant_that_mends_it_before_any_request(
    fresh: Cluster, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Warehouse(fresh.owner) as warehouse:
        publish_marked(warehouse, 1)
    fresh.run(*taken.split("; "), dbname="efo")
    with running_sample(classes=100, seed=3) as sample:
        graph = Graph(monkeypatch, fresh.owner, tmp_path, sample.url)
        said = failure(graph.materialize("raw_ols_pages"))
        assert not sample.requests
        remedies = re.findall(r"ask its owner: ([^)]+)\)", said)
        assert remedies
        fresh.run(*remedies, dbname="efo")
        with Warehouse(fresh.owner) as warehouse:
            warehouse.prepare()


@pytest.mark.fault("D11")
def test_a_standby_is_refused_before_any_request(fresh: Cluster) -> None:
    fresh.stop()
    fresh.standby_signal.touch()
    fresh.start()
    try:
        with pytest.raises(DatabaseRefused, match=r"read-only \(a standby"):
            Warehouse(fresh.owner).prepare()
    finally:
        fresh.stop()
        fresh.standby_signal.unlink()
        fresh.start()


@pytest.mark.fault("D11")
def test_a_server_that_becomes_read_only_under_way_is_refused_and_the_old_release_stays(
    fresh: Cluster,
) -> None:
    with Warehouse(fresh.owner) as warehouse:
        publish_marked(warehouse, 1)
        load = audited(warehouse, 2)
        fresh.run("alter database efo set default_transaction_read_only = on")
        with pytest.raises(DatabaseRefused, match=r"does not allow publishing .*read-only"):
            warehouse.publish(load)
        assert release_published(fresh.owner) == 1
        fresh.run("alter database efo reset default_transaction_read_only")
        assert warehouse.publish(load).is_new
    assert release_published(fresh.owner) == 2


@pytest.mark.fault("D15")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table public.efo_terms drop column curie cascade", "efo_terms.curie is missing"),
        (
            "alter table public.efo_terms alter column id drop identity",
            "efo_terms.id is no identity any more",
        ),
        (
            (
                "alter table public.efo_xrefs rename to mine; create view public.efo_xrefs as"
                " select * from public.mine"
            ),
            "the view public.efo_xrefs. Nothing was changed",
        ),
    ],
)
def test_each_kind_of_drift_is_refused_and_nothing_is_dropped(
    database: DatabaseTarget, change: str, said: str
) -> None:
    with Warehouse(database) as warehouse:
        publish_marked(warehouse, 1)
        with connected(database) as owner:
            for each in change.split("; "):
                owner.execute(each)
            facts = (
                "select oid, relname, relkind from pg_class where relname like 'efo%' order by 1"
            )
            before = owner.execute(facts).fetchall()
            owner.commit()
            with pytest.raises(SchemaDrift, match=re.escape(said)):
                warehouse.prepare()
            assert owner.execute(facts).fetchall() == before


@pytest.mark.fault("D15")
def test_a_constraint_that_somebody_added_is_named_and_the_old_release_stays(
    database: DatabaseTarget,
) -> None:
    with Warehouse(database) as warehouse:
        publish_marked(warehouse, 1)
        with connected(database) as owner:
            owner.execute(
                "alter table public.efo_terms add constraint mine check (label like '%release 1')"
            )
        load = audited(warehouse, 2)
        with pytest.raises(WarehouseError, match="mine on efo_terms, refuses a row while publish"):
            warehouse.publish(load)
    assert release_published(database) == 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`right.pem` for 127.0.0.1 and `wrong.pem` for another host, each with its key."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, host in (("right", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example")):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}",
             "-keyout", f"{name}.key", "-out", f"{name}.pem"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    return folder


@pytest.mark.fault("S20")
@pytest.mark.parametrize(
    ("served", "trusted", "is_accepted"),
    [("right", "right", True), ("right", "wrong", False), ("wrong", "wrong", False)],
    ids=["right", "unknown issuer", "wrong name"],
)
def test_verify_full_accepts_the_right_certificate_alone(
    database: DatabaseTarget, certificates: Path, served: str, trusted: str, is_accepted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{served}.pem", certificates / f"{served}.key")
    with running_proxy(database, context) as (proxy, target):
        secured = with_(
            target, sslmode="verify-full", sslrootcert=str(certificates / f"{trusted}.pem")
        )
        with Warehouse(secured) as warehouse:
            if is_accepted:
                warehouse.prepare()
                return
            with pytest.raises(DatabaseRefused, match="does not accept the encryption of the link"):
                warehouse.prepare()
            assert proxy.links == 1, "asked once"


@pytest.mark.fault("S20")
@pytest.mark.parametrize(("host", "is_told"), [("db.example.org", True), ("localhost", False)])
def test_a_link_to_another_machine_without_encryption_is_warned_of(
    database: DatabaseTarget, caplog: pytest.LogCaptureFixture, host: str, is_told: bool
) -> None:
    with running_proxy(database) as (_, target):
        named = with_(target, host=host, hostaddr="127.0.0.1")
        with session.connect(named) as connection:
            preflight.prepare(connection, Schema("public"))
    assert ("db.example.org is not encrypted: add sslmode=verify-full" in caplog.text) is is_told


@pytest.mark.fault("D31")
def test_a_publication_for_all_tables_does_not_stop_loads(fresh: Cluster) -> None:
    fresh.stop()
    fresh.start(wal_level="logical")
    fresh.run("create publication every_table for all tables", dbname="efo")
    with Warehouse(fresh.owner) as warehouse:
        for number in (1, 2):
            terms = [term("a", f"label {number}"), term(f"b{number}")]
            edges = [edge("a", f"b{number}"), edge("a", "unlisted")]
            assert publish(warehouse, str(number), terms=terms, edges=edges).is_new
    fresh.stop()
    fresh.start()
