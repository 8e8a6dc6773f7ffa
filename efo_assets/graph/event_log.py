"""Dagster's event log in SQLite, with its databases held open while a run writes to them.

Dagster opens and closes a database for each of a run's 200 events, and SQLite syncs and removes its
write-ahead log whenever the last connection closes: 3 to 7 s of a run, here 0.3. The files and what
is in them are Dagster's own, so an instance can change between the two classes at any time.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg

# Documented by name for dagster.yaml, and for storages of one's own, but exported nowhere.
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import OperationalError

FOLDER = Path("history", "runs")
"""In the instance's folder, where Dagster keeps an event log that isn't configured."""
_MANY_FOLLOW = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.STEP_START,
}
_MANY_WERE = EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys() - _MANY_FOLLOW
"""The run is over, or another process goes on with it."""


class HeldOpenEventLog(SqliteEventLogStorage):
    """For `event_log_storage` in dagster.yaml; takes no `config`."""

    def __init__(self, inst_data: ConfigurableClassData) -> None:
        # Where its files are is known from the instance: see `register_instance`.
        self._inst_data = inst_data
        self._held: dict[str, Connection] = {}
        self._holding = threading.RLock()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing can be configured."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's takes a folder
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "HeldOpenEventLog":
        """Make it for an instance that Dagster registers next."""
        return cls(inst_data, **config_value)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Open the event log in the folder of the instance."""
        super().__init__(str(Path(instance.root_directory) / FOLDER), self._inst_data)
        super().register_instance(instance)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store it; hold the run's databases from the first of many events to the last."""
        kind = event.dagster_event_type if event.is_dagster_event else None
        if kind in _MANY_FOLLOW:
            self._hold(event.run_id)
        super().store_event(event)
        if kind in _MANY_WERE:
            self._release()
        # The UI follows a run by watching this file, which a write-ahead log leaves as it is.
        os.utime(self.path_for_shard(event.run_id))

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        """A transaction in the database of a run."""
        return self._transaction(str(run_id))

    def index_connection(self) -> AbstractContextManager[Connection]:
        """A transaction in the database of all runs."""
        return self._transaction(INDEX_SHARD_NAME)

    def dispose(self) -> None:
        """Close what is held."""
        self._release()
        super().dispose()

    @contextmanager
    def _transaction(self, shard: str) -> Iterator[Connection]:
        with self._holding:
            if shard not in self._held:
                with super().run_connection(shard) as connection:
                    yield connection
            else:
                with self._held[shard].begin():
                    yield self._held[shard]

    def _hold(self, run_id: str) -> None:
        """Of one run at a time: a webserver sees thousands."""
        with self._holding:
            if run_id in self._held:
                return
            self._release()
            for shard in (run_id, INDEX_SHARD_NAME):
                engine = create_engine(
                    self.conn_string_for_shard(shard),
                    poolclass=NullPool,
                    connect_args={
                        "timeout": SQLITE_BUSY_TIMEOUT_SECONDS,
                        "check_same_thread": False,
                    },
                )
                connection = self._held[shard] = engine.connect()
                # Dagster sets it after a new database's tables, each of which takes four syncs till
                # then. It fails where another process makes them just now.
                with suppress(OperationalError):
                    connection.exec_driver_sql("pragma journal_mode = wal")
                # A commit isn't synced by itself: a power loss may take the last events of a run,
                # which it ended, and leaves a whole database.
                connection.exec_driver_sql("pragma synchronous = normal")
                connection.rollback()  # ends what SQLAlchemy began; pragmas stay
            # Dagster makes the tables of a new database as it connects.
            with super().run_connection(run_id):
                pass

    def _release(self) -> None:
        with self._holding:
            while self._held:
                self._held.popitem()[1].close()
