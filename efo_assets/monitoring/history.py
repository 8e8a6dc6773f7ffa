"""Opening Dagster's history to read it: the instance of DAGSTER_HOME, never created by a scrape."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg

# No public API tells where an instance keeps its history before it is opened, which creates it.
from dagster._core.instance.ref import InstanceRef

from efo_assets.errors import SettingsError

LAST_STORAGE, LAST_DATABASE = "SqliteScheduleStorage", "schedules.db"
"""Of the three databases that are an SQLite history, the one that Dagster creates last."""


@contextmanager
def opened_instance(home: Path | None) -> Iterator[dg.DagsterInstance]:
    """The instance whose dagster.yaml is in `home`.

    Raises:
        SettingsError: DAGSTER_HOME isn't set or no folder, or has no history yet.
    """
    if home is None or not home.is_dir():
        raise SettingsError(
            "DAGSTER_HOME is not set or names no folder, so there is no run history to read: set "
            "it to the folder that holds the dagster.yaml of the daemon and the webserver."
        )
    reference = InstanceRef.from_dir(str(home))
    # Of two processes that create an SQLite history at once, one fails: it must not be the first
    # run. In PostgreSQL Dagster tries again by itself.
    storage = reference.schedule_storage_data
    if (
        storage is not None
        and storage.class_name == LAST_STORAGE
        and not _is_complete(Path(storage.config_dict["base_dir"]) / LAST_DATABASE)
    ):
        raise SettingsError(
            f"{home} holds no run history that can be opened: it is read as soon as a run, the "
            "daemon or the webserver has made one, by a user who may write there, as SQLite wants."
        )
    with dg.DagsterInstance.from_ref(reference) as instance:
        yield instance


def _is_complete(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            # Dagster's last step: it stamps the tables with their version.
            (stamps,) = connection.execute("select count(*) from alembic_version").fetchone()
    except sqlite3.Error:
        return False
    return bool(stamps)
