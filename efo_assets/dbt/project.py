"""dbt, an optional extra: whether it is there, how it is run on our database, what it reads.

Neither Dagster nor dbt is imported here: dbt runs as the program that it is. The assets made from
its models are in `dbt_models`; the project itself is the folder `dbt` of the repository, which a
wheel doesn't hold.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from psycopg.pq import Conninfo

from efo_assets.errors import DbtError, SettingsError
from efo_assets.settings import DatabaseTarget, Settings, child_environment
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets.warehouse.writer import WriterLock

PROJECT_DIR = Path(__file__).parents[2] / "dbt"
DISTRIBUTIONS = ("dagster-dbt", "dbt-core", "dbt-postgres")
"""What the extra `dbt` installs."""
COMMAND = (sys.executable, "-c", "from dbt.cli.main import cli; cli(prog_name='dbt')")
"""dbt, wherever its own program is; as a module it warns."""
WRITING_COMMANDS = frozenset(
    {"build", "clone", "retry", "run", "run-operation", "seed", "snapshot"}
)

_NO_DATABASE = DatabaseTarget({"host": "localhost", "user": "nobody", "dbname": "none"})
"""`dbt parse` wants a profile and connects to nothing."""


def is_available() -> bool:
    """Whether the extra is installed and the project folder is here."""
    return _has_project() and not _missing()


def _has_project() -> bool:
    return (PROJECT_DIR / "dbt_project.yml").is_file()


def _missing() -> list[str]:
    return [name for name in DISTRIBUTIONS if _version(name) is None]


def _version(distribution: str) -> str | None:
    # Asking for the module would find the project folder itself, from the repository's root.
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def require() -> None:
    """Say what is missing, if anything is.

    Raises:
        DbtError: the extra isn't installed, or the project folder isn't here.
    """
    missing = _missing()
    if missing:
        raise DbtError(
            f"dbt is an optional extra and isn't installed ({', '.join(missing)} missing): run "
            "`make dbt`, or install the project with the extra `dbt`."
        )
    if not _has_project():
        raise DbtError(
            f"The dbt project isn't here ({PROJECT_DIR} is missing): dbt runs from a clone of the "
            "repository, installed with --editable."
        )


def models_schema(settings: Settings) -> str:
    """The schema of the models, which is never the published one.

    Raises:
        SettingsError: the two are the same.
    """
    if settings.dbt_schema == settings.schema:
        raise SettingsError(
            f"EFO_DBT_SCHEMA takes a schema for dbt's models alone; it holds {settings.schema!r}, "
            "where the published tables are (EFO_SCHEMA)."
        )
    return settings.dbt_schema


@contextmanager
def writing(house: Warehouse, settings: Settings) -> Iterator[None]:
    """Keep a second dbt out of the models' schema while there is a release to read.

    Raises:
        SettingsError: the models' schema is the published one.
        DbtError: nothing is published yet.
        LoadInProgress: another dbt is at work there.
    """
    lock = WriterLock(house.connect, models_schema(settings))
    if house.current_release() is None:
        raise DbtError(
            f"Nothing is published in schema {house.schema} yet, so dbt has nothing to build its "
            "models from: run `make run` or "
            "`dagster asset materialize -m efo_assets.definitions --select '*'`."
        )
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def environment(target: DatabaseTarget, settings: Settings, work_dir: Path) -> dict[str, str]:
    """What dbt is told: the connection, the schemas, and a folder for its artifacts and logs.

    Every parameter of the connection goes by libpq's own variable, the password by the one that
    dbt blots out of what it prints.
    """
    options = [
        (option.keyword.decode(), option.envvar.decode(), option.val)
        for option in Conninfo.get_defaults()
        if option.envvar
    ]
    given = {keyword: value.decode() for keyword, _, value in options if value is not None}
    given |= target.parameters
    given.setdefault("host", "")
    given.setdefault("dbname", given.get("user", ""))
    variables = {variable: given[keyword] for keyword, variable, _ in options if keyword in given}
    variables.pop("PGPASSWORD", None)
    return variables | {
        "DBT_ENV_SECRET_EFO_PASSWORD": given.get("password", ""),
        "EFO_SCHEMA": settings.schema,
        "EFO_DBT_SCHEMA": models_schema(settings),
        "DBT_PROJECT_DIR": str(PROJECT_DIR),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str(work_dir / "target"),
        "DBT_LOG_PATH": str(work_dir / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def run(house: Warehouse, settings: Settings, arguments: Sequence[str]) -> int:
    """Run dbt with `arguments` on the warehouse; return its exit code.

    Raises:
        DbtError: dbt isn't installed, its project isn't here, or nothing is published.
        LoadInProgress: another dbt is at work in the models' schema.
    """
    require()
    if WRITING_COMMANDS.isdisjoint(arguments):
        return _run(house, settings, arguments)
    with writing(house, settings):
        return _run(house, settings, arguments)


def _run(house: Warehouse, settings: Settings, arguments: Sequence[str]) -> int:
    variables = environment(house.target, settings, settings.data_dir / "dbt")
    command = [*COMMAND, *arguments]
    return subprocess.run(command, env=child_environment(variables), check=False).returncode  # noqa: S603


def manifest() -> dict[str, Any]:
    """What dbt reads from the project, by `dbt parse`; done once per state of its files.

    Connects to nothing. Kept in the project's `target` folder where that can be written.

    Raises:
        DbtError: the project isn't valid; the message holds dbt's own last word.
    """
    kept = PROJECT_DIR / "target" / f"manifest-{_state()}.json"
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(kept.read_bytes())
        return found
    with tempfile.TemporaryDirectory(prefix="efo-dbt-") as folder:
        content = _parsed(Path(folder))
    _keep(content, kept)
    made: dict[str, Any] = json.loads(content)
    return made


def _state() -> str:
    """A digest of the project's files and dbt's version."""
    digest = hashlib.sha256()
    for name in DISTRIBUTIONS:
        digest.update(f"{name} {_version(name)}\n".encode())
    for path in sorted(PROJECT_DIR.rglob("*")):
        place = path.relative_to(PROJECT_DIR)
        if path.suffix in {".sql", ".yml"} and place.parts[0] not in {"target", "logs"}:
            content = path.read_bytes()
            digest.update(f"{place} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _parsed(work_dir: Path) -> bytes:
    # The manifest tells assets apart and describes them; where they are is known when dbt runs.
    defaults = replace(Settings(), data_dir=work_dir)
    done = subprocess.run(  # noqa: S603  # dbt, with arguments of ours
        [*COMMAND, "--no-partial-parse", "parse"],
        env=child_environment(environment(_NO_DATABASE, defaults, work_dir)),
        cwd=PROJECT_DIR,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = " ".join(lines[-3:])[:500]
        raise DbtError(
            f"dbt can't read its project in {PROJECT_DIR} ({said}): mend it, or uninstall the "
            "extra `dbt`; nothing else needs it."
        )
    return (work_dir / "target" / "manifest.json").read_bytes()


def _keep(content: bytes, path: Path) -> None:
    """Write whole or not at all; another process may write the same."""
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(f".new-{os.getpid()}")
        new.write_bytes(content)
        new.replace(path)
