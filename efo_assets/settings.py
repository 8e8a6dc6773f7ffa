"""Settings: the environment, read once, as one typed and validated object.

This module alone reads `os.environ`. Every setting has a default that works; a value that cannot
be used is one sentence that names the variable and what it takes.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from yarl import URL

from efo_assets.errors import SettingsError

EBI_OLS_URL = "https://www.ebi.ac.uk/ols4"
MAX_PAGE_SIZE = 1000
"""Rows. OLS serves no more in one page, and earlier generations cut it silently."""
MAX_MAX_IN_FLIGHT = 50
RELEASE_CONFIRM_S, MAX_RELEASE_CONFIRM_S = 300, 86_400
"""Each data release of OLS begins with a short outage: a release is believed when it stays."""
IDENTIFIER_LIMIT_BYTES = 63
"""PostgreSQL cuts longer identifiers without a word (NAMEDATALEN - 1)."""

SMTP_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
"""Scheme of EFO_ALERT_SMTP_URL to its default port."""
_SMTP_SECURITY = {"smtp": "offered", "smtp+starttls": "starttls", "smtps": "tls"}

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9][A-Za-z0-9.-]*")
_CREDENTIALS = re.compile(r"://([^/?#\s]*)@")
_URL_OF_DATABASE = re.compile(r"postgres(ql)?://")
_SOUND_URL = re.compile(r"[a-z]+://([^@/]*@)?[^@]*")
_PASSWORD_VARIABLES = ("EFO_PASSWORD", "DAGSTER_POSTGRES_PASSWORD", "PGPASSWORD")
_URL_VARIABLES = ("EFO_OLS_URL", "EFO_DATABASE_URL", "EFO_ALERT_SMTP_URL")

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
    automation: bool = False
    """Look for new releases and load them unasked: the sensor and the schedule are on."""
    release_confirm_s: int = RELEASE_CONFIRM_S
    """A release is loaded unasked once OLS was seen serving it for so many seconds."""
    dbt_schema: str = "efo_dbt"
    """Where dbt's models are, for those who have the extra `dbt`."""
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
        read = _values(given)
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
            data_dir=_folder("EFO_DATA_DIR", read, defaults.data_dir),
            allow_shrink=_switch("EFO_ALLOW_SHRINK", read),
            dbt_schema=_schema(
                read.get("EFO_DBT_SCHEMA", defaults.dbt_schema), name="EFO_DBT_SCHEMA"
            ),
            allow_older=_switch("EFO_ALLOW_OLDER", read),
            automation=_switch("EFO_AUTOMATION", read),
            release_confirm_s=_release_confirm_s(read),
        )


def _values(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in environment.items() if value.strip()}


@dataclass(frozen=True, slots=True)
class SmtpTarget:
    """A mail server; its text never shows the password."""

    host: str
    port: int
    security: str
    """`tls` from the first byte, `starttls` or nothing, or `offered`: STARTTLS if it is offered."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told of a failure; every receiver is off until it is configured."""

    webhook_url: str | None = field(default=None, repr=False)
    """Takes Slack's JSON. Whoever knows the address may post, so it is a secret."""
    smtp: SmtpTarget | None = None
    email_from: str = ""
    email_to: tuple[str, ...] = ()
    sentry_dsn: str | None = field(default=None, repr=False)
    ui_url: str | None = None
    """Where people open Dagster's UI, for links to runs."""
    ontology: str = "efo"
    """As configured for the loads, unchecked: it is only shown."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "AlertSettings":
        """Read the variables of the alerts alone: a wrong one elsewhere must not silence them.

        Raises:
            SettingsError: a value cannot be used; the message names the variable, never a secret.
        """
        given = os.environ if environment is None else environment
        read = _values(given)
        smtp = _smtp(read.get("EFO_ALERT_SMTP_URL"))
        return cls(
            webhook_url=_webhook_url(read.get("EFO_ALERT_WEBHOOK_URL")),
            smtp=smtp,
            email_from=_sender(read, is_needed=smtp is not None),
            email_to=_addresses("EFO_ALERT_EMAIL_TO", read, is_needed=smtp is not None),
            sentry_dsn=_dsn(read.get("SENTRY_DSN")),
            ui_url=_ui_url(read.get("EFO_UI_URL")),
            ontology=read.get("EFO_ONTOLOGY", cls().ontology),
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
    # libpq would take a part of the password for the host, the port or the database, and say so.
    if _URL_OF_DATABASE.match(text) and not _SOUND_URL.fullmatch(text):
        raise SettingsError(f"{takes}; in user and password, a @ is written %40 and a / %2F.")
    try:
        parsed = conninfo_to_dict(text)
    except ProgrammingError:
        raise SettingsError(f"{takes}; what it holds can't be read as one.") from None
    if not parsed:
        raise SettingsError(f"{takes}; it names nothing to connect to.")
    if not re.fullmatch(r"[0-9,]*", str(parsed.get("port") or "")):
        raise SettingsError(f"{takes}; the port is no number.")
    return DatabaseTarget({key: str(value) for key, value in parsed.items() if value is not None})


def _folder(name: str, read: Mapping[str, str], default: Path) -> Path:
    text = read.get(name, str(default))
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"{name} takes a folder; nobody's home is {text[:40]!r}.") from None


def _schema(text: str, name: str = "EFO_SCHEMA") -> str:
    fits = _SCHEMA.fullmatch(text) and len(text) <= IDENTIFIER_LIMIT_BYTES
    if fits and not text.startswith(_RESERVED_SCHEMAS):
        return text
    raise SettingsError(
        f"{name} takes a schema name of up to {IDENTIFIER_LIMIT_BYTES} lower-case letters, "
        f"digits and _, not one of ours or PostgreSQL's own; it holds {text[:40]!r}."
    )


def _switch(name: str, read: Mapping[str, str]) -> bool:
    text = read.get(name, "0").lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise SettingsError(f"{name} takes 1 or 0; it holds {text[:40]!r}.")


def _release_confirm_s(read: Mapping[str, str]) -> int:
    return _whole("EFO_RELEASE_CONFIRM_S", read, RELEASE_CONFIRM_S, MAX_RELEASE_CONFIRM_S)


@dataclass(frozen=True, slots=True)
class Automation:
    """What the code location itself must know of the settings."""

    is_on: bool
    release_confirm_s: int

    @classmethod
    def from_environment(cls) -> "Automation":
        """Read `os.environ`; a code location loads whatever that holds.

        So a wrong value means the default here; it is one sentence as soon as a run begins.
        """
        read = _values(os.environ)
        is_on, confirm_s = False, RELEASE_CONFIRM_S
        with suppress(SettingsError):
            is_on = _switch("EFO_AUTOMATION", read)
        with suppress(SettingsError):
            confirm_s = _release_confirm_s(read)
        return cls(is_on, confirm_s)


def _web_url(takes: str, text: str) -> URL:
    """The URL, if it is one for http(s) without fragment; the sentence never shows it."""
    try:
        url = URL(text)
    except ValueError:
        raise SettingsError(f"{takes}; what it holds is no URL.") from None
    if url.scheme not in ("http", "https") or not url.host or url.fragment:
        raise SettingsError(f"{takes}; what it holds is none.")
    return url


def _webhook_url(text: str | None) -> str | None:
    if text is None:
        return None
    takes = "EFO_ALERT_WEBHOOK_URL takes the http(s) address of a webhook that takes Slack's JSON"
    if _web_url(takes, text).user is not None:
        raise SettingsError(f"{takes}; it must not hold a user or a password.")
    return text


def _ui_url(text: str | None) -> str | None:
    if text is None:
        return None
    takes = "EFO_UI_URL takes the http(s) address of Dagster's UI, such as http://127.0.0.1:3000"
    url = _web_url(takes, text)
    if url.user is not None or url.query_string:
        raise SettingsError(f"{takes}; it must not hold a user, a password or a ?.")
    return str(url).rstrip("/")


def _dsn(text: str | None) -> str | None:
    if text is None:
        return None
    takes = "SENTRY_DSN takes the DSN of a Sentry project, https://key@host/number"
    url = _web_url(takes, text)
    if not url.user or not url.name.isdigit() or url.query_string:
        raise SettingsError(f"{takes}; what it holds is none.")
    return text


def _smtp(text: str | None) -> SmtpTarget | None:
    if text is None:
        return None
    takes = "EFO_ALERT_SMTP_URL takes smtp://, smtp+starttls:// or smtps://user:password@host:port"
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise SettingsError(f"{takes}; what it holds is no URL.") from None
    if url.scheme not in SMTP_PORTS or not url.host or url.raw_path not in ("", "/"):
        raise SettingsError(f"{takes}; what it holds is none.")
    if (url.user is None) != (url.password is None):
        raise SettingsError(f"{takes}; user and password go together.")
    return SmtpTarget(
        host=url.host,
        port=port or SMTP_PORTS[url.scheme],
        security=_SMTP_SECURITY[url.scheme],
        user=url.user,
        password=url.password,
    )


def _addresses(name: str, read: Mapping[str, str], *, is_needed: bool) -> tuple[str, ...]:
    found = tuple(each.strip() for each in read.get(name, "").split(",") if each.strip())
    takes = f"{name} takes e-mail addresses such as efo@example.org, separated by commas"
    for each in found:
        if not _ADDRESS.fullmatch(each):
            raise SettingsError(f"{takes}; one of them is {each[:40]!r}.")
    if is_needed and not found:
        raise SettingsError(f"{takes}; it is needed with EFO_ALERT_SMTP_URL.")
    if found and not is_needed:
        raise SettingsError(f"{takes}; it is of no use without EFO_ALERT_SMTP_URL.")
    return found


def _sender(read: Mapping[str, str], *, is_needed: bool) -> str:
    found = _addresses("EFO_ALERT_EMAIL_FROM", read, is_needed=is_needed)
    if len(found) > 1:
        raise SettingsError("EFO_ALERT_EMAIL_FROM takes one e-mail address; it holds several.")
    return found[0] if found else ""


def configured_secrets(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Every secret that the environment holds, in each spelling known; read without complaint.

    Passwords as they are and as they stand in a URL, the key of the DSN, the path of the webhook.
    """
    given = os.environ if environment is None else environment
    found = [given.get(name, "") for name in _PASSWORD_VARIABLES]
    for name in _URL_VARIABLES:
        found += _passwords_of_url(given.get(name, ""))
    found += _CREDENTIALS.findall(given.get("SENTRY_DSN", ""))
    found += _database_passwords(given.get("EFO_DATABASE_URL", ""))
    webhook = given.get("EFO_ALERT_WEBHOOK_URL", "").strip()
    found += [webhook, webhook.partition("://")[2].partition("/")[2]]
    return tuple(dict.fromkeys(each for each in found if each))


def _passwords_of_url(text: str) -> list[str]:
    passwords = [each.partition(":")[2] for each in _CREDENTIALS.findall(text)]
    return [*passwords, *map(unquote, passwords)]


def _database_passwords(text: str) -> list[str]:
    try:
        read = conninfo_to_dict(text)
    except ProgrammingError:
        # Not to be read, and so nobody knows which part is the password.
        return [text]
    # The second opens the key of a client certificate.
    return [str(read.get(key) or "") for key in ("password", "sslpassword")]


def dagster_home() -> Path | None:
    """The folder of Dagster's instance, as Dagster itself takes it; None where it isn't set."""
    text = os.environ.get("DAGSTER_HOME", "").strip()
    return Path(text).expanduser().absolute() if text else None


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that we start: ours with `changes`."""
    return {**os.environ, **changes}
