"""E-mail: a message as plain text over SMTP."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate
from functools import partial

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
        server = f"The mail server {self._smtp.host}:{self._smtp.port}"
        content = mail(message, self._sender, self._recipients)
        try:
            with self._session(server) as session:
                refused = session.send_message(content, self._sender, self._recipients)
        except smtplib.SMTPResponseException as error:
            # A server may repeat what it received, so its words are left out.
            trouble = f"refused with code {error.smtp_code} ({type(error).__name__})"
            raise NotDelivered(f"{server} {trouble}; look at EFO_ALERT_SMTP_URL.") from None
        except smtplib.SMTPRecipientsRefused:
            raise NotDelivered(f"{server} refused every address of EFO_ALERT_EMAIL_TO.") from None
        except (smtplib.SMTPException, OSError) as error:
            trouble = f"could not be used ({type(error).__name__})"
            raise NotDelivered(f"{server} {trouble}; look at EFO_ALERT_SMTP_URL.") from None
        if not refused:
            return None
        return (
            f"{server} refused {len(refused)} of {len(self._recipients)} addresses of "
            "EFO_ALERT_EMAIL_TO; the others have the mail."
        )

    @contextmanager
    def _session(self, server: str) -> Iterator[smtplib.SMTP]:
        """Connected, encrypted as required or possible, and logged in."""
        smtp = self._smtp
        # Named, since smtplib would ask the name service for this machine's name, and wait for it.
        connect = partial(smtplib.SMTP, local_hostname=socket.gethostname(), timeout=TIMEOUT_S)
        trusted = ssl.create_default_context()
        is_private = smtp.security == "tls"
        if is_private:
            connect = partial(smtplib.SMTP_SSL, **connect.keywords, context=trusted)
        with connect(smtp.host, smtp.port) as session:
            session.ehlo()
            if not is_private and session.has_extn("starttls"):
                session.starttls(context=trusted)
                session.ehlo()
                is_private = True
            if not is_private and smtp.security == "starttls":
                raise NotDelivered(
                    f"{server} does not offer STARTTLS, which smtp+starttls:// in "
                    "EFO_ALERT_SMTP_URL requires."
                )
            if smtp.user is not None and smtp.password is not None:
                if not is_private and smtp.host not in LOOPBACK:
                    raise NotDelivered(
                        f"{server} offers no encryption, so the password is not sent; use "
                        "smtps:// in EFO_ALERT_SMTP_URL, or no password."
                    )
                session.login(smtp.user, smtp.password)
            yield session


def mail(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The mail; those of one incident stand below each other in a mail program."""
    domain = sender.rpartition("@")[2]
    content = EmailMessage()
    content["Subject"] = message.title
    content["From"] = sender
    content["To"] = ", ".join(recipients)
    content["Date"] = formatdate()
    content["Message-ID"] = f"<{message.incident}.{message.kind}@{domain}>"
    if message.kind == "over":
        content["References"] = f"<{message.incident}.failed@{domain}>"
    # Keeps out-of-office replies away.
    content["Auto-Submitted"] = "auto-generated"
    content.set_content(message.text + "\n")
    return content
