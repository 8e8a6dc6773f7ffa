"""E-mail: a message as plain text over SMTP. Dagster is not known here."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate

from efo_assets.alerts.message import Message
from efo_assets.errors import NotDelivered
from efo_assets.settings import SmtpTarget

TIMEOUT_S = 5.0
"""For each step of the exchange."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class MailReceiver:
    """Sends to every address in one exchange; encrypted where the server can."""

    name = "email"

    def __init__(self, smtp: SmtpTarget, sender: str, recipients: tuple[str, ...]) -> None:
        self._smtp = smtp
        self._sender = sender
        self._recipients = recipients

    def send(self, message: Message) -> str | None:
        """Hand the mail to the server; where it refuses some addresses, say how many.

        Raises:
            NotDelivered: the server is out of reach, or refuses the mail or every address.
        """
        place = f"{self._smtp.host}:{self._smtp.port}"
        try:
            with self._session() as session:
                refused = session.send_message(
                    mail(message, self._sender, self._recipients), self._sender, self._recipients
                )
        except smtplib.SMTPResponseException as error:
            # A server may repeat what it was told, so its words are left out.
            raise NotDelivered(
                f"The mail server {place} refused with code {error.smtp_code} "
                f"({type(error).__name__}); look at EFO_ALERT_SMTP_URL."
            ) from None
        except smtplib.SMTPRecipientsRefused:
            raise NotDelivered(
                f"The mail server {place} refused every address of EFO_ALERT_EMAIL_TO."
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(
                f"The mail server {place} could not be used ({type(error).__name__}); look at "
                "EFO_ALERT_SMTP_URL."
            ) from None
        if not refused:
            return None
        return (
            f"The mail server {place} refused {len(refused)} of {len(self._recipients)} addresses "
            "of EFO_ALERT_EMAIL_TO; the others have the mail."
        )

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        smtp = self._smtp
        # Named, since smtplib would ask the name service who we are, and wait for it.
        us = socket.gethostname()
        trusted = ssl.create_default_context()
        if smtp.security == "tls":
            opened: smtplib.SMTP = smtplib.SMTP_SSL(
                smtp.host, smtp.port, local_hostname=us, timeout=TIMEOUT_S, context=trusted
            )
        else:
            opened = smtplib.SMTP(smtp.host, smtp.port, local_hostname=us, timeout=TIMEOUT_S)
        with opened as session:
            session.ehlo()
            is_private = smtp.security == "tls" or self._encrypted(session, trusted)
            self._log_in(session, is_private=is_private)
            yield session

    def _encrypted(self, session: smtplib.SMTP, trusted: ssl.SSLContext) -> bool:
        if session.has_extn("starttls"):
            session.starttls(context=trusted)
            session.ehlo()
            return True
        if self._smtp.security == "starttls":
            raise NotDelivered(
                f"The mail server {self._smtp.host}:{self._smtp.port} does not offer STARTTLS, "
                "which smtp+starttls:// in EFO_ALERT_SMTP_URL requires."
            )
        return False

    def _log_in(self, session: smtplib.SMTP, *, is_private: bool) -> None:
        smtp = self._smtp
        if smtp.user is None or smtp.password is None:
            return
        if not is_private and smtp.host not in LOOPBACK:
            raise NotDelivered(
                f"The mail server {smtp.host}:{smtp.port} offers no encryption, so the password "
                "is not sent; use smtps:// in EFO_ALERT_SMTP_URL, or no password."
            )
        session.login(smtp.user, smtp.password)


def mail(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The mail; those of one incident stand below each other in a mail program."""
    domain = sender.rpartition("@")[2]
    made = EmailMessage()
    made["Subject"] = message.title
    made["From"] = sender
    made["To"] = ", ".join(recipients)
    made["Date"] = formatdate()
    made["Message-ID"] = f"<{message.incident}.{message.kind}@{domain}>"
    if message.kind == "over":
        made["References"] = f"<{message.incident}.failed@{domain}>"
    # Nobody's out-of-office reply is wanted.
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.text + "\n")
    return made
