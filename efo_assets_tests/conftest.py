"""One real PostgreSQL per test process, an empty database per test, and no network but loopback."""

import ipaddress
import os
import shutil
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster
import psycopg
import pytest

from efo_assets.sample.server import Sample, State, running_sample
from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import embedded
from efo_assets.warehouse.embedded import embedded_server, program, remove
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import OWNER, connected, own_database
from efo_assets_tests.faults.one_load import Nursery
from efo_assets_tests.faults.table import Covering, coverings, table
from efo_assets_tests.graph.materializing import Graph

DEBIANS_15 = Path("/usr/lib/postgresql/15")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", action="store_true", help="print which faults are covered")
    parser.addoption("--runs", type=int, default=1, help="so often are campaigns with a `run` done")
    parser.addoption("--picture", type=Path, help="keep the picture of the lineage graph here")


def pytest_configure() -> None:
    # A `.env` of this checkout is somebody's own.
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    # A shell without job control starts what it puts into the background deaf to Ctrl-C, and every
    # process that a test starts, and Dagster's own, would be so too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    libpq = psycopg.pq.version()
    return f"embedded PostgreSQL 18 and 16, libpq {libpq}, dagster {dagster.__version__}"


# The controller of several processes collects nothing itself: they send it theirs.
_COVERINGS = pytest.StashKey[set[Covering]]()


@pytest.hookimpl(tryfirst=True)  # before campaigns are left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_COVERINGS] = set(coverings(items))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        covered = session.config.stash.get(_COVERINGS, set[Covering]())
        session.config.workeroutput["coverings"] = [list(each) for each in covered]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    covered = node.config.stash.setdefault(_COVERINGS, set())
    covered |= {Covering(*each) for each in getattr(node, "workeroutput", {}).get("coverings", [])}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    _list_skipped(terminalreporter)
    if not config.getoption("--fault-table"):
        return
    unsound = {
        report.nodeid: outcome
        for outcome in ("skipped", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
    }
    covered = config.stash.get(_COVERINGS, set[Covering]())
    for line in table(sorted(covered), unsound):
        terminalreporter.write_line(line)


def _list_skipped(terminalreporter: Any) -> None:
    """What was skipped and why, a line each."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped")
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number:4}  {reason}")


@pytest.fixture(scope="session")
def clusters() -> Iterator[Path]:
    """A folder for the servers of this process, short enough for a socket, gone in the end."""
    # Not pytest's own folder: its path is long, and closed to the account that serves root.
    folder = Path(tempfile.mkdtemp(prefix="efo-t-"))
    folder.chmod(0o755)
    yield folder
    for major in (18, 16):
        remove(folder, major=major)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(clusters: Path) -> Iterator[DatabaseTarget]:
    """PostgreSQL 18, as its superuser."""
    yield from _server(clusters, 18)


@pytest.fixture(scope="session")
def server_16(clusters: Path) -> Iterator[DatabaseTarget]:
    """PostgreSQL 16, as its superuser."""
    yield from _server(clusters, 16)


@pytest.fixture(scope="session")
def server_15(clusters: Path) -> Iterator[DatabaseTarget]:
    """PostgreSQL 15 of Debian, as its superuser."""
    if not (DEBIANS_15 / "bin" / "initdb").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {DEBIANS_15}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(embedded.INSTALLATIONS, 15, str(DEBIANS_15))
        yield from _server(clusters, 15)
        remove(clusters, major=15)


def _server(clusters: Path, major: int) -> Iterator[DatabaseTarget]:
    with embedded_server(clusters, major=major, is_durable=False) as target:
        with connected(target, autocommit=True) as connection:
            connection.execute(f"create role {OWNER} login")
        yield target


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    majors = getattr(metafunc.module, "MAJORS", ())
    if majors and "database" in metafunc.fixturenames:
        metafunc.parametrize("database", majors, indirect=True, ids="pg{}".format)
    if "run" in metafunc.fixturenames:
        metafunc.parametrize("run", range(1, metafunc.config.getoption("--runs") + 1))


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseTarget]:
    """An empty database, as an owner who is no superuser; on each of the module's `MAJORS`."""
    major = getattr(request, "param", 18)
    name = "server" if major == 18 else f"server_{major}"
    with own_database(request.getfixturevalue(name)) as database:
        yield database


@pytest.fixture
def other_database(server: DatabaseTarget) -> Iterator[DatabaseTarget]:
    """A second one beside `database`."""
    with own_database(server) as database:
        yield database


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, database: DatabaseTarget) -> Iterator[Warehouse]:
    """An empty database's warehouse, which lets releases shrink if the module's constant does."""
    with Warehouse(database, allow_shrink=getattr(request.module, "ALLOW_SHRINK", False)) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[Sample]:
    """The generated ontology, of the module's `CLASSES` and `SEED`."""
    classes, seed = getattr(request.module, "CLASSES", 200), getattr(request.module, "SEED", 1)
    with running_sample(classes=classes, seed=seed) as running:
        yield running


@pytest.fixture
def sample(served: Sample) -> Sample:
    """The module's server of the ontology as it began: release 1, and nothing asked yet."""
    served.state = State()
    served.intercept = None
    served.reset()
    return served


@pytest.fixture
def graph(
    request: pytest.FixtureRequest,
    sample: Sample,
    database: DatabaseTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Graph:
    """The whole graph on an empty database; asks for pages of the module's `PAGE_SIZE`."""
    graph = Graph(monkeypatch, database, tmp_path / "data", sample.url)
    if page_size := getattr(request.module, "PAGE_SIZE", None):
        graph.configure(EFO_PAGE_SIZE=str(page_size))
    return graph


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EFO_", "DAGSTER_", "PG", "SENTRY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask OLS again at once, and wait for no PostgreSQL, where an outage is not what is tested."""
    monkeypatch.setattr("efo_assets.ols.pace.BACKOFF_BASE_S", 0.001)
    monkeypatch.setattr("efo_assets.warehouse.session.CONNECT_PATIENCE_S", 0.2)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection and look-up that would leave this machine."""
    connect, connect_ex, look_up = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _refuse_remote(self.family, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_remote(self.family, address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "", "localhost") and not _is_loopback(name):
            raise socket.gaierror(socket.EAI_NONAME, f"tests look up no names: {name}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


def _refuse_remote(family: int, address: Any) -> None:
    if family != socket.AF_UNIX and not _is_loopback(address[0]):
        pytest.fail(f"a test tried to leave this machine: {address}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks loads without Dagster, to be killed."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def psql() -> Path:
    """The wheel's psql."""
    return program("psql")
