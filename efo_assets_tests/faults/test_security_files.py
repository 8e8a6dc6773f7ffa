"""What leads out of the data directory, and what other accounts may do in it."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from efo_assets.errors import PageStoreError, SettingsError
from efo_assets.ols.page_store import PageStore
from efo_assets.sample.server import Sample
from efo_assets.settings import DatabaseTarget, Settings
from efo_assets.warehouse.embedded import embedded_server, program, remove
from efo_assets_tests.graph.materializing import EXPORTS, Graph, failure

PAGE_SIZE = 50
CLASSES = 120
SEED = 5
TRAVERSALS = (
    "..",
    ".",
    "../efo",
    "../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "efo/../../x",
    "efo/..",
    "efo/.",
    "./efo",
    "efo/",
    "efo//x",
    "%2e%2e%2fefo",
    "..%2fefo",
    "%252e%252e%252f",
    "..%c0%af",
    "..\\efo",
    "C:\\efo",
    "\\\\host\\efo",
    "~",
    "~root",
    "$HOME",
    "`id`",
    "efo\0/../x",
    "efo\n",
    "efo\r../x",
    "\uff0e\uff0e\uff0fefo",
    "\u2024\u2024/efo",
    ".efo",
    "-rf",
    "efo;id",
    "efo*",
    "",
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Files of somebody else's beside the data directory."""
    folder = tmp_path / "outside"
    (folder / "folder").mkdir(parents=True)
    (folder / "file").write_text("not ours")
    (folder / "folder" / "file").write_text("not ours either")
    return folder


def seen(folder: Path) -> list[tuple[str, int, int, bytes]]:
    """Names, modes, times of change and contents below a folder."""
    return [
        (
            str(path),
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted([folder, *folder.rglob("*")])
    ]


@pytest.mark.fault("S07")
@pytest.mark.parametrize("ontology", TRAVERSALS, ids=ascii)
def test_an_ontology_id_leads_nowhere(tmp_path: Path, outside: Path, ontology: str) -> None:
    before = seen(tmp_path)
    store = PageStore(outside / "folder")
    with pytest.raises(PageStoreError, match="is no ontology id"), store.lock(ontology):
        pass
    with pytest.raises(PageStoreError, match="is no ontology id"):
        store.latest(ontology)
    # A blank is an unset one; whitespace at the ends is cut.
    if ontology.strip() not in ("", "efo"):
        with pytest.raises(SettingsError, match="EFO_ONTOLOGY"):
            Settings.from_environment({"EFO_ONTOLOGY": ontology})
    assert seen(tmp_path) == before


def a_folder(graph: Graph) -> Path:
    (folder,) = (graph.data_dir / "pages" / "efo").glob("*-two")
    return folder


def linked(path: Path, to: Path) -> None:
    """Put a symbolic link where something of ours was."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(to)


@pytest.mark.fault("S07")
@pytest.mark.parametrize(
    ("place", "to"),
    [
        (lambda graph: graph.data_dir / "pages" / "efo", "folder"),
        (a_folder, "folder"),
        (lambda graph: a_folder(graph) / "manifest.jsonl", "file"),
        (lambda graph: graph.data_dir / "pages" / "efo" / ".lock", "file"),
    ],
    ids=["ontology", "download", "manifest", "lock"],
)
def test_a_symbolic_link_in_the_page_store_is_refused_in_one_sentence(
    graph: Graph, outside: Path, place: Callable[[Graph], Path], to: str
) -> None:
    assert graph.materialize("raw_ols_pages").success
    before = seen(outside)
    linked(place(graph), outside / to)
    said = failure(graph.materialize("raw_ols_pages"))
    assert "symbolic link" in said
    assert seen(outside) == before


@pytest.mark.fault("S07")
def test_a_page_file_that_is_a_link_is_replaced_and_its_target_left_alone(
    graph: Graph, sample: Sample, outside: Path
) -> None:
    assert graph.materialize("raw_ols_pages").success
    page = a_folder(graph) / "current-00000.json.gz"
    body = page.read_bytes()
    (outside / "file").write_bytes(body)
    before = seen(outside)
    linked(page, outside / "file")
    sample.requests.clear()
    assert graph.materialize("raw_ols_pages").success
    assert [each.query["page"] for each in sample.requests if each.query.get("size") == "50"] == [
        "0"
    ]
    assert not page.is_symlink()
    assert page.read_bytes() == body
    assert seen(outside) == before


@pytest.mark.fault("S07")
def test_a_data_directory_with_dots_is_the_folder_that_it_names(
    graph: Graph, tmp_path: Path, outside: Path
) -> None:
    before = seen(outside)
    graph.configure(EFO_DATA_DIR=f"{outside}/folder/../../named")
    assert graph.materialize().success
    assert {path.name for path in (tmp_path / "named").iterdir()} == {"pages"}
    assert seen(outside) == before
    assert not graph.data_dir.exists()


@pytest.fixture(params=[0, 0o077], ids="{:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.fault("X24")
def test_others_can_write_and_lock_nothing_whatever_the_umask(graph: Graph) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert graph.materialize(instance=instance).success
        assert graph.materialize(*EXPORTS, instance=instance).success
    pages = graph.data_dir / "pages"
    everything = [graph.data_dir, *graph.data_dir.rglob("*")]
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in everything}
    assert len(found) > 4
    assert found.pop(pages / "efo" / ".lock") == 0o600
    odd = {
        path: mode for path, mode in found.items() if mode != (0o755 if path.is_dir() else 0o644)
    }
    assert odd == {}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="efo-f-"))
    folder.chmod(0o755)
    yield folder
    remove(folder)
    shutil.rmtree(folder)


def ask_as(account: int | None, target: DatabaseTarget) -> "subprocess.CompletedProcess[str]":
    """`select 1` by psql, as another account if one is given."""
    parameters = target.parameters
    words = ["-h", parameters["host"], "-U", parameters["user"], "-d", parameters["dbname"]]
    identity = {} if account is None else {"user": account, "group": account, "extra_groups": []}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]  # the types know no kwargs
        [str(program("psql")), *words, "-XAtc", "select 1"],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )


def test_another_account_does_not_get_into_the_embedded_postgresql(data_dir: Path) -> None:
    """Root shows it as another account; anybody else by the modes that the kernel goes by."""
    with embedded_server(data_dir, is_durable=False) as target:
        assert ask_as(None, target).stdout == "1\n"
        place = Path(target.parameters["host"])
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert stat.S_IMODE((place / ".s.PGSQL.5432").stat().st_mode) == 0o700
        if os.geteuid() == 0:
            stranger = place.stat().st_uid - 7
            refused = ask_as(stranger, target)
            assert refused.stdout == ""
            assert "Permission denied" in refused.stderr


def test_the_embedded_postgresql_gets_no_variable_of_ours(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SENTRY_DSN", "EFO_PASSWORD", "SOMEBODYS_TOKEN", "PGPASSWORD"):
        monkeypatch.setenv(name, "K4NARY")
    with embedded_server(data_dir, is_durable=False) as target:
        cluster = Path(target.parameters["host"])
        process = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        environment = Path(f"/proc/{process}/environ").read_bytes()
    assert b"LC_ALL=C" in environment
    assert b"K4NARY" not in environment
