"""A test of the alerts: one message to everybody who would be told, with nothing having failed."""

import socket
from collections.abc import Mapping
from uuid import uuid4

from efo_assets.alerts.delivery import Outcome, deliver, receivers
from efo_assets.alerts.message import trial
from efo_assets.alerts.sentry import Report, Sentry
from efo_assets.errors import NotDelivered, SettingsError
from efo_assets.settings import AlertSettings


def try_alerts() -> Mapping[str, Outcome]:
    """Send the test; give what became of it, by the receivers' names.

    Raises:
        SettingsError: a variable can't be used, or no receiver is configured.
    """
    settings = AlertSettings.from_environment()
    message = trial(socket.gethostname(), incident=f"test-{uuid4()}")
    outcomes = dict(deliver(message, receivers(settings)))
    if settings.sentry_dsn is not None:
        try:
            Sentry(settings.sentry_dsn).note(
                message.title, Report(step="alert-test", tags={}), is_failure=False
            )
            outcomes[Sentry.name] = Outcome(arrived=True)
        except NotDelivered as error:
            outcomes[Sentry.name] = Outcome(arrived=False, trouble=str(error))
    if not outcomes:
        raise SettingsError(
            "No receiver of alerts is configured: set EFO_ALERT_WEBHOOK_URL, EFO_ALERT_SMTP_URL or "
            "SENTRY_DSN, and run this again where the code location runs."
        )
    return outcomes
