"""Webhook and e-mail against real servers: what arrives, what is tried again, what is said."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from efo_assets.alerts.delivery import Delivery, deliver, receivers
from efo_assets.alerts.mail import MailReceiver
from efo_assets.alerts.message import Message, trial
from efo_assets.alerts.webhook import WebhookReceiver
from efo_assets.errors import NotDelivered
from efo_assets.settings import AlertSettings, SmtpTarget
from efo_assets_tests.alerts.receivers import MailServer, WebReceiver, mail_server, web_receiver
from efo_assets_tests.commands import free_port

SECRET = "CANARYsecret"  # noqa: S105  # a canary
FROM = "efo@example.org"
TO = ("ops@example.org", "dba@example.org")


@pytest.fixture
def message() -> Message:
    return trial("efo-1", incident="8d1f")


def hook(webhook: WebReceiver) -> WebhookReceiver:
    return WebhookReceiver(f"{webhook.url}/hook/{SECRET}")


def mailer(
    port: int, security: str = "offered", password: str | None = None, host: str = "127.0.0.1"
) -> MailReceiver:
    user = "me" if password else None
    return MailReceiver(SmtpTarget(host, port, security, user, password), FROM, TO)


def refusal(receiver: WebhookReceiver | MailReceiver, message: Message) -> str:
    with pytest.raises(NotDelivered) as caught:
        receiver.send(message)
    said = str(caught.value)
    assert SECRET not in said
    is_alone = caught.value.__context__ is None or caught.value.__suppress_context__
    assert is_alone, "what was raised first may hold the secret"
    return said


def test_a_webhook_gets_slacks_json(webhook: WebReceiver, message: Message) -> None:
    hook(webhook).send(message)
    (posted,) = webhook.posted
    assert posted.path == f"/hook/{SECRET}"
    assert posted.headers["content-type"] == "application/json"
    (text,) = webhook.texts()
    assert text.splitlines() == [
        "*efo_assets: test of the alerts*",
        "This is a test: nothing failed. Alerts of efo_assets arrive here.",
        "Where: efo-1",
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_webhook_that_took_nothing_is_asked_again(
    webhook: WebReceiver, message: Message, status: int
) -> None:
    webhook.statuses = [status, status, 204]
    hook(webhook).send(message)
    assert len(webhook.posted) == 3


def test_a_webhook_that_never_takes_it_is_asked_three_times(
    webhook: WebReceiver, message: Message
) -> None:
    webhook.statuses = [503]
    assert refusal(hook(webhook), message) == "The webhook did not take the message: status 503."
    assert len(webhook.posted) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 410, 504])
def test_a_webhook_that_refuses_or_may_have_taken_it_is_asked_once(
    webhook: WebReceiver, message: Message, status: int
) -> None:
    webhook.statuses = [status]
    assert f"status {status}" in refusal(hook(webhook), message)
    assert len(webhook.posted) == 1


@pytest.mark.fault("S09")
def test_a_redirect_is_not_followed(webhook: WebReceiver, message: Message) -> None:
    with web_receiver() as elsewhere:
        webhook.statuses, webhook.location = [307], f"{elsewhere.url}/"
        assert "redirects are not followed" in refusal(hook(webhook), message)
        assert elsewhere.posted == []


def test_a_webhook_without_an_answer_is_not_asked_twice(
    webhook: WebReceiver, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efo_assets.alerts.webhook.PATIENCE_S", 0.5)
    webhook.is_silent = True
    assert "may have arrived" in refusal(hook(webhook), message)
    assert len(webhook.posted) == 1


def test_a_webhook_that_hangs_up_is_not_asked_twice(webhook: WebReceiver, message: Message) -> None:
    webhook.is_silent = True
    webhook.let_go.set()
    assert "could not be asked (ServerDisconnectedError)" in refusal(hook(webhook), message)
    assert len(webhook.posted) == 1


def test_a_webhook_that_is_not_there_is_one_sentence(message: Message) -> None:
    receiver = WebhookReceiver(f"http://127.0.0.1:{free_port()}/{SECRET}")
    assert "no connection" in refusal(receiver, message)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture
def plain() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def test_a_mail_reaches_every_address(plain: MailServer, message: Message) -> None:
    mailer(plain.port).send(message)
    (mail,) = plain.mails
    assert plain.recipients == [list(TO)]
    assert (mail["From"], mail["To"]) == (FROM, "ops@example.org, dba@example.org")
    assert mail["Subject"] == "efo_assets: test of the alerts"
    assert mail.get_content().splitlines()[1] == "Where: efo-1"
    assert plain.encrypted == [False]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", ["offered", "starttls"])
def test_a_mail_is_encrypted_where_the_server_offers_it(
    tls: ssl.SSLContext, message: Message, security: str
) -> None:
    with mail_server(tls=tls, password=SECRET.encode()) as server:
        mailer(server.port, security, SECRET).send(message)
        assert server.encrypted == [True]
        assert server.logins == [(b"me", SECRET.encode())]


@pytest.mark.usefixtures("trusted")
def test_a_mail_is_encrypted_from_the_first_byte(tls: ssl.SSLContext, message: Message) -> None:
    with mail_server(tls=tls, password=SECRET.encode(), is_tls_from_the_start=True) as server:
        mailer(server.port, "tls", SECRET).send(message)
        assert len(server.mails) == 1


@pytest.mark.fault("T04")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    tls: ssl.SSLContext, message: Message
) -> None:
    with mail_server(tls=tls, password=SECRET.encode()) as server:
        said = refusal(mailer(server.port, "offered", SECRET), message)
        assert "SSLCertVerificationError" in said
        assert not server.logins
        assert not server.mails


def test_required_encryption_that_is_not_offered_is_refused(
    plain: MailServer, message: Message
) -> None:
    assert "does not offer STARTTLS" in refusal(mailer(plain.port, "starttls"), message)
    assert plain.mails == []


@pytest.mark.fault("S20")
def test_a_password_leaves_this_machine_only_encrypted(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efo_assets.alerts.mail.LOOPBACK", ())
    with mail_server(password=SECRET.encode()) as server:
        said = refusal(mailer(server.port, "offered", SECRET), message)
        assert "offers no encryption, so the password is not sent" in said
        assert server.logins == []


def test_a_wrong_password_is_one_sentence(mailbox: MailServer, message: Message) -> None:
    said = refusal(mailer(mailbox.port, "offered", SECRET), message)
    assert "refused with code 535 (SMTPAuthenticationError)" in said
    assert mailbox.mails == []


def test_an_address_that_is_refused_does_not_keep_the_mail_from_the_others(
    plain: MailServer, message: Message
) -> None:
    plain.refused = {TO[0]}
    assert "refused 1 of 2 addresses" in (mailer(plain.port).send(message) or "")
    assert plain.recipients == [[TO[1]]]
    plain.refused = set(TO)
    assert "refused every address" in refusal(mailer(plain.port), message)


def test_a_mail_that_is_refused_is_one_sentence(plain: MailServer, message: Message) -> None:
    plain.answer = f"554 no mail with {SECRET} here"
    assert "refused with code 554 (SMTPDataError)" in refusal(mailer(plain.port), message)


def test_a_mail_server_that_is_not_there_is_one_sentence(message: Message) -> None:
    said = refusal(mailer(free_port(), "offered", SECRET), message)
    assert "could not be used (ConnectionRefusedError)" in said


def test_nobody_is_told_until_configured() -> None:
    assert receivers(AlertSettings()) == []


def test_one_receiver_that_fails_keeps_nothing_from_the_others(
    webhook: WebReceiver, plain: MailServer, message: Message
) -> None:
    webhook.statuses = [404]
    outcomes = deliver(message, [hook(webhook), mailer(plain.port)])
    assert outcomes["email"] == Delivery(arrived=True)
    assert not outcomes["webhook"].arrived
    assert "status 404" in (outcomes["webhook"].trouble or "")
    assert len(plain.mails) == 1
