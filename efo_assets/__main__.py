"""The command line beside Dagster's: look at what is published, with or without a set-up.

`python -m efo_assets psql` opens PostgreSQL's own shell on the configured database, or on the
embedded one, which it starts if need be. `python -m efo_assets status` prints the ledger.
`python -m efo_assets alert-test` sends a test to everybody who would be told of a failure.
`python -m efo_assets dbt` runs dbt there, for those who have the extra.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from efo_assets.alerts.delivery import try_alerts
from efo_assets.dbt import project as dbt_project
from efo_assets.errors import EfoError
from efo_assets.privacy.disclosure import no_secret_shown, shown
from efo_assets.privacy.printable import escaped
from efo_assets.settings import DatabaseTarget, Settings, child_environment
from efo_assets.warehouse.embedded import program
from efo_assets.warehouse.warehouse import Warehouse

PSQL_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
"""libpq keyword to the variable that psql reads; a command line would show a password."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m efo_assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("psql", help="open psql; whatever follows are its own arguments")
    commands.add_parser("dbt", help="run dbt; whatever follows are its own arguments")
    commands.add_parser("status", help="print the published releases, newest first")
    commands.add_parser("alert-test", help="send a test to every configured receiver of alerts")
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = 1 if words[:1] in (["psql"], ["dbt"]) else len(words)
    given = parser.parse_args(words[:own])
    try:
        with no_secret_shown():
            if given.command == "alert-test":
                return _alert_test()
            settings = Settings.from_environment()
            with Warehouse.opened(settings) as warehouse:
                if given.command == "psql":
                    return _psql(warehouse.target, words[own:], settings.schema)
                if given.command == "dbt":
                    return dbt_project.run(warehouse, settings, words[own:])
                return _status(warehouse)
    except EfoError as error:
        sys.stderr.write(f"{shown(error)}\n")
        return 1


def _psql(target: DatabaseTarget, arguments: Sequence[str], schema: str) -> int:
    variables = _psql_environment(target.parameters, schema)
    command = [str(program("psql")), "--no-psqlrc", *arguments]
    return subprocess.run(command, env=child_environment(variables), check=False).returncode  # noqa: S603


def _psql_environment(parameters: Mapping[str, str], schema: str) -> dict[str, str]:
    known = {
        PSQL_VARIABLES[key]: value for key, value in parameters.items() if key in PSQL_VARIABLES
    }
    return {"PAGER": "", **known, "PGOPTIONS": f"-c search_path={schema},efo_meta,public"}


def _status(warehouse: Warehouse) -> int:
    releases = [[_cell(value) for value in row] for row in warehouse.releases()]
    if not releases:
        sys.stdout.write(
            "Nothing is published yet: run `make run`, in a deployment the service `pipeline`.\n"
        )
        return 0
    headers = ["release", "version", "published at (UTC)", "terms", "rows written", "load"]
    sys.stdout.write(tabulate(releases, headers=headers, intfmt=",") + "\n")
    return 0


def _alert_test() -> int:
    deliveries = try_alerts()
    for name, delivery in deliveries.items():
        sys.stdout.write(f"{name}: {delivery.trouble or 'arrived'}\n")
    return 1 if any(delivery.trouble for delivery in deliveries.values()) else 0


def _cell(value: object) -> object:
    """A version is OLS's text, and this is a terminal."""
    return escaped(value) if isinstance(value, str) else value


if __name__ == "__main__":
    sys.exit(main())
