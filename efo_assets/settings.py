"""Settings: the environment, read once, as one typed and validated object.

This module alone reads `os.environ`. Every setting has a default that works; a value that cannot
be used is one sentence that names the variable and what it takes.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from yarl import URL

from efo_assets.errors import SettingsError

EBI_OLS_URL = "https://www.ebi.ac.uk/ols4"
MAX_PAGE_SIZE = 1000
"""Rows. OLS serves no more in one page, and earlier generations cut it silently."""
MAX_MAX_IN_FLIGHT = 50
IDENTIFIER_LIMIT_BYTES = 63
"""PostgreSQL cuts longer identifiers without a word (NAMEDATALEN - 1)."""

_ONTOLOGY = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED_SCHEMAS = ("efo_meta", "efo_load_", "pg_", "information_schema")


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseTarget:
    """Where PostgreSQL is, as libpq keywords; its text never shows the password."""

    parameters: Mapping[str, str]

    @property
    def place(self) -> str:
        """`host:port/dbname`, for messages."""
        given = self.parameters
        host = given.get("host") or given.get("hostaddr") or "localhost"
        return f"{host}:{given.get('port', '5432')}/{given.get('dbname', given.get('user', ''))}"

    def __repr__(self) -> str:
        return f"DatabaseTarget({self.place})"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be configured, valid by construction when made by `from_environment`."""

    ols_url: str = EBI_OLS_URL
    """Base of the OLS4 service, without `/api`."""
    ontology: str = "efo"
    page_size: int = 500
    """Rows asked for in one page."""
    max_in_flight: int = 16
    """Requests under way at once, at most."""
    limit: int | None = None
    """Only the first classes of the list; such a load is partial."""
    database: DatabaseTarget | None = None
    """None: the embedded PostgreSQL in `data_dir`."""
    schema: str = "public"
    """Where the published tables are."""
    data_dir: Path = Path(".efo")
    allow_shrink: bool = False
    """Publish although the load is much smaller than what is published."""
    allow_older: bool = False
    """Publish a release although one that came after it is published."""

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> "Settings":
        """Read `EFO_*` from `environment` (default: `os.environ`), `overrides` before it.

        An empty value counts as unset, and so does None in `overrides`.

        Raises:
            SettingsError: a value cannot be used; the message names the variable.
        """
        given = dict(os.environ if environment is None else environment)
        given |= {
            name: str(value) for name, value in (overrides or {}).items() if value is not None
        }
        read = {name: value.strip() for name, value in given.items() if value.strip()}
        defaults = cls()
        return cls(
            ols_url=_ols_url(read.get("EFO_OLS_URL", defaults.ols_url)),
            ontology=_ontology(read.get("EFO_ONTOLOGY", defaults.ontology)),
            page_size=_whole("EFO_PAGE_SIZE", read, defaults.page_size, MAX_PAGE_SIZE),
            max_in_flight=_whole(
                "EFO_MAX_IN_FLIGHT", read, defaults.max_in_flight, MAX_MAX_IN_FLIGHT
            ),
            limit=_whole("EFO_LIMIT", read, 0, None) or None,
            database=_database(read.get("EFO_DATABASE_URL")),
            schema=_schema(read.get("EFO_SCHEMA", defaults.schema)),
            data_dir=_data_dir(read.get("EFO_DATA_DIR", str(defaults.data_dir))),
            allow_shrink=_switch("EFO_ALLOW_SHRINK", read),
            allow_older=_switch("EFO_ALLOW_OLDER", read),
        )


def _ols_url(text: str) -> str:
    takes = f"EFO_OLS_URL takes the http(s) address of an OLS4 service, such as {EBI_OLS_URL}"
    try:
        url = URL(text)
    except ValueError:
        raise SettingsError(f"{takes}; what it holds is no URL.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"{takes}; it does not begin with http:// or https:// and a host.")
    if url.user or url.password:
        raise SettingsError(f"{takes}; it must not hold a user or a password.")
    if url.query_string or url.fragment:
        raise SettingsError(f"{takes}; it must not hold a ? or a #.")
    return str(url).rstrip("/").removesuffix("/api")


def _ontology(text: str) -> str:
    if _ONTOLOGY.fullmatch(text):
        return text
    raise SettingsError(
        f"EFO_ONTOLOGY takes an OLS ontology id that matches {_ONTOLOGY.pattern}, "
        f"such as efo; it holds {text[:40]!r}."
    )


def _whole(name: str, read: Mapping[str, str], default: int, most: int | None) -> int:
    text = read.get(name)
    if text is None:
        return default
    value = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if value < 1 or (most is not None and value > most):
        bound = f"from 1 to {most}" if most is not None else "of at least 1"
        raise SettingsError(f"{name} takes a whole number {bound}; it holds {text[:40]!r}.")
    return value


def _database(text: str | None) -> DatabaseTarget | None:
    if text is None:
        return None
    takes = "EFO_DATABASE_URL takes postgresql://user:password@host:port/database"
    try:
        parsed = conninfo_to_dict(text)
    except ProgrammingError:
        raise SettingsError(f"{takes}; what it holds can't be read as one.") from None
    if not parsed:
        raise SettingsError(f"{takes}; it names nothing to connect to.")
    return DatabaseTarget({key: str(value) for key, value in parsed.items() if value is not None})


def _data_dir(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(
            f"EFO_DATA_DIR takes a folder, and one below ~ needs a home; it holds {text[:80]!r}."
        ) from None


def _schema(text: str) -> str:
    fits = _SCHEMA.fullmatch(text) and len(text) <= IDENTIFIER_LIMIT_BYTES
    if fits and not text.startswith(_RESERVED_SCHEMAS):
        return text
    raise SettingsError(
        f"EFO_SCHEMA takes a schema name of up to {IDENTIFIER_LIMIT_BYTES} lower-case letters, "
        f"digits and _, not one of ours or PostgreSQL's own; it holds {text[:40]!r}."
    )


def _switch(name: str, read: Mapping[str, str]) -> bool:
    text = read.get(name, "0").lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise SettingsError(f"{name} takes 1 or 0; it holds {text[:40]!r}.")


def crash_point_in_force() -> str | None:
    """Where `EFO_CRASH_POINT` wants the process killed; for tests of faults alone."""
    return os.environ.get("EFO_CRASH_POINT")


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that we start: ours with `changes`."""
    return {**os.environ, **changes}
