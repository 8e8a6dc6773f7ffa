"""dbt, an optional extra: whether it is there, how it runs on the warehouse, what it reads.

Neither Dagster nor dbt is imported here: dbt runs as the program that it is. Its models as assets
are in `models`; the project is the folder `dbt` of the repository, which a wheel doesn't hold.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from psycopg.pq import Conninfo

from efo_assets.errors import DbtError, SettingsError
from efo_assets.files import write_whole
from efo_assets.privacy.disclosure import one_line
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
REASON_CHARACTERS = 500

_NO_DATABASE = DatabaseTarget({"host": "localhost", "user": "nobody", "dbname": "none"})
"""`dbt parse` wants a profile and connects to nothing."""


def obstacle() -> str | None:
    """What is missing: the extra, or the project folder; None where dbt can be used."""
    # Not by module: from the repository's root, `dbt` is the project folder.
    missing = [name for name in DISTRIBUTIONS if not any(distributions(name=name))]
    if missing:
        return (
            f"dbt is an optional extra and isn't installed ({', '.join(missing)} missing): run "
            "`make dbt`, or install the project with the extra `dbt`."
        )
    if not (PROJECT_DIR / "dbt_project.yml").is_file():
        return (
            f"The dbt project isn't here ({PROJECT_DIR} is missing): dbt runs from a clone of the "
            "repository, installed with --editable."
        )
    return None


@contextmanager
def writing(warehouse: Warehouse, settings: Settings) -> Iterator[None]:
    """Keep a second dbt out of the models' schema while there is a release to read.

    Raises:
        DbtError: nothing is published yet.
        LoadInProgress: another dbt is at work there.
    """
    lock = WriterLock(warehouse.connect, settings.dbt_schema)
    if warehouse.current_release() is None:
        raise DbtError(warehouse.nothing_published)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def environment(target: DatabaseTarget, settings: Settings, work_dir: Path) -> dict[str, str]:
    """Variables for dbt: the connection, the schemas, and a folder for its artifacts and logs.

    Every parameter of the connection goes by libpq's own variable, the password by the one that
    dbt blots out of what it prints.

    Raises:
        SettingsError: the models' schema is the published one.
    """
    if settings.dbt_schema == settings.schema:
        raise SettingsError(
            f"EFO_DBT_SCHEMA takes a schema for dbt's models alone; it holds {settings.schema!r}, "
            "where the published tables are (EFO_SCHEMA)."
        )
    options = {each.keyword.decode(): each for each in Conninfo.get_defaults()}
    variables = {key: each.envvar.decode() for key, each in options.items() if each.envvar}
    defaults = {key: each.val.decode() for key, each in options.items() if each.val is not None}
    parameters = {"host": "", **defaults, **target.parameters}
    parameters.setdefault("dbname", parameters.get("user", ""))
    password = parameters.pop("password", "")
    connection = {variables[key]: value for key, value in parameters.items() if key in variables}
    return connection | {
        "DBT_ENV_SECRET_EFO_PASSWORD": password,
        "EFO_SCHEMA": settings.schema,
        "EFO_DBT_SCHEMA": settings.dbt_schema,
        "DBT_PROJECT_DIR": str(PROJECT_DIR),
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str(work_dir / "target"),
        "DBT_LOG_PATH": str(work_dir / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def run(warehouse: Warehouse, settings: Settings, arguments: Sequence[str]) -> int:
    """Run dbt with `arguments` on the warehouse; return its exit code.

    Raises:
        DbtError: dbt isn't installed, its project isn't here, or nothing is published.
        SettingsError: the models' schema is the published one.
        LoadInProgress: another dbt is at work in the models' schema.
    """
    if missing := obstacle():
        raise DbtError(missing)
    variables = environment(warehouse.target, settings, settings.data_dir / "dbt")
    command = [*COMMAND, *arguments]
    reads_only = WRITING_COMMANDS.isdisjoint(arguments)
    with nullcontext() if reads_only else writing(warehouse, settings):
        return subprocess.run(command, env=child_environment(variables), check=False).returncode  # noqa: S603


def manifest() -> dict[str, Any]:
    """What dbt reads from the project, by `dbt parse`; done once per state of its files.

    Connects to nothing. Kept in the project's `target` folder where that can be written.

    Raises:
        DbtError: the project isn't valid; the message holds dbt's own last word.
    """
    kept = PROJECT_DIR / "target" / f"manifest-{_state()}.json"
    content: dict[str, Any]
    with suppress(OSError, ValueError):
        content = json.loads(kept.read_bytes())
        return content
    with tempfile.TemporaryDirectory(prefix="efo-dbt-") as folder:
        body = _parsed(Path(folder))
    with suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        write_whole(kept, body)
    content = json.loads(body)
    return content


def _state() -> str:
    """A digest of the project's files and dbt's version."""
    digest = hashlib.sha256()
    for name in DISTRIBUTIONS:
        digest.update(f"{name} {version(name)}\n".encode())
    for path in sorted(PROJECT_DIR.rglob("*")):
        place = path.relative_to(PROJECT_DIR)
        if path.suffix in {".sql", ".yml"} and place.parts[0] not in {"target", "logs"}:
            body = path.read_bytes()
            digest.update(f"{place} {len(body)}\n".encode() + body)
    return digest.hexdigest()[:16]


def _parsed(work_dir: Path) -> bytes:
    # The manifest tells assets apart and describes them; where they are is known when dbt runs.
    defaults = replace(Settings(), data_dir=work_dir)
    done = subprocess.run(  # noqa: S603  # dbt, with fixed arguments
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
        reason = one_line(" ".join(lines[-3:]), REASON_CHARACTERS)
        raise DbtError(
            f"dbt can't read its project in {PROJECT_DIR} ({reason}): mend it, or uninstall the "
            "extra `dbt`; nothing else needs it."
        )
    return (work_dir / "target" / "manifest.json").read_bytes()
