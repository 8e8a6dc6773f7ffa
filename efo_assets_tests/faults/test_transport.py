"""Faults of the transport (group T): broken connections and bodies are absorbed or named."""

import datetime as dt
import inspect
import random
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientTimeout

from efo_assets.errors import OlsRefused, OlsUnreachable, PageRejected
from efo_assets.ols.client import OlsClient
from efo_assets_tests.faults import broken
from efo_assets_tests.faults.downloading import Pauses, assert_whole, download, refused
from efo_assets_tests.faults.fake_ols import Asked, Fault, fake_ols

fault = pytest.mark.fault


@fault("T01")
def test_a_refused_connection_costs_five_attempts_and_one_sentence(tmp_path: Path) -> None:
    pauses = Pauses()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said = refused(
        f"http://127.0.0.1:{port}",
        tmp_path,
        OlsUnreachable,
        rf"at 127\.0\.0\.1:{port}",
        pause=pauses,
    )
    assert "(5 attempts)" in said
    assert "No page was fetched" in said
    assert len(pauses.seconds) == 4


@fault("T02")
def test_a_name_that_resolves_in_the_end_is_absorbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    failures = iter([socket.EAI_AGAIN] * 3)

    def flaky(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "localhost" and (code := next(failures, None)) is not None:
            raise socket.gaierror(code, "temporary failure in name resolution")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    with fake_ols(host="localhost") as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.traffic.retries == 3


@fault("T03")
def test_a_black_hole_ends_at_the_connect_timeout(tmp_path: Path) -> None:
    with socket.socket() as hole, socket.socket() as first, socket.socket() as second:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        refused(
            url,
            tmp_path,
            OlsUnreachable,
            r"no connection within 0\.1 s",
            timeout=ClientTimeout(sock_connect=0.1),
        )
    default = inspect.signature(OlsClient).parameters["timeout"].default.sock_connect
    assert default <= 10


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this process trusts, as SSL_CERT_FILE would make it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)
    return authority


def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _issued(authority: trustme.CA, name: str = "localhost", until: int = 2090) -> ssl.SSLContext:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    end = past.replace(year=until)
    return _server_context(authority.issue_cert(name, not_before=past, not_after=end))


@fault("T04")
def test_a_good_certificate_is_accepted(trusted: trustme.CA, tmp_path: Path) -> None:
    with fake_ols(host="localhost", tls=_issued(trusted)) as ols:
        assert_whole(download(ols, tmp_path), ols)


@fault("T04")
@pytest.mark.parametrize(
    ("issue", "said"),
    [
        (lambda ca: _issued(ca, until=2021), "expired"),
        (lambda ca: _issued(ca, "elsewhere.example"), "not valid for 'localhost'"),
        (lambda _: _issued(trustme.CA()), "unable to get local issuer|self-signed"),
    ],
    ids=["expired", "wrong name", "unknown issuer"],
)
def test_a_bad_certificate_is_refused_at_once_and_named(
    issue: Callable[[trustme.CA], ssl.SSLContext], said: str, trusted: trustme.CA, tmp_path: Path
) -> None:
    pauses = Pauses()
    with fake_ols(host="localhost", tls=issue(trusted)) as ols:
        sentence = refused(ols, tmp_path, OlsRefused, said, pause=pauses)
        assert ols.log == []
    assert "The TLS certificate of localhost" in sentence
    assert pauses.seconds == []


@fault("T04")
def test_there_is_no_switch_to_skip_verification() -> None:
    names = set(inspect.signature(OlsClient).parameters)
    assert not {name for name in names if "ssl" in name or "verify" in name}


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param(broken.closed_before_headers, marks=fault("T05"), id="closed before headers"),
        pytest.param(broken.reset_after(1000), marks=fault("T06"), id="reset in the body"),
        pytest.param(broken.reset_after(0), marks=fault("T06"), id="reset after the headers"),
        pytest.param(broken.half_gzip, marks=fault("T09"), id="half gzip"),
        pytest.param(broken.gzip_with_bad_crc, marks=fault("T10"), id="bad CRC"),
        pytest.param(broken.gzip_without_trailer, marks=fault("T10"), id="no trailer"),
        pytest.param(broken.gzip_with_flipped_byte, marks=fault("T10"), id="flipped byte"),
        pytest.param(broken.long_content_length, marks=fault("T11"), id="long Content-Length"),
        pytest.param(broken.chunked_without_end, marks=fault("T13"), id="no last chunk"),
        pytest.param(broken.garbled_chunks, marks=fault("T13"), id="garbled chunks"),
        pytest.param(broken.cut_at(0.02), marks=fault("T05"), id="cut in the headers"),
        pytest.param(broken.headers(X="y" * 20_000), marks=fault("T18"), id="20 KB header"),
        pytest.param(broken.said_encoding("br"), marks=fault("T22"), id="brotli"),
        pytest.param(broken.said_encoding("zstd"), marks=fault("T22"), id="zstd"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_page_that_comes_broken_is_fetched_whole(
    breaks: Fault, times: int, tmp_path: Path
) -> None:
    with fake_ols(broken.on_page(breaks, times=times)) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
        assert len(ols.pages) == done.pages + times


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        pytest.param(broken.closed_before_headers, "disconnected", marks=fault("T05")),
        pytest.param(broken.half_gzip, "gzip body is cut", marks=fault("T09")),
        pytest.param(broken.long_content_length, "payload", marks=fault("T11")),
        pytest.param(broken.headers(X="y" * 20_000), "more than", marks=fault("T18")),
        pytest.param(broken.said_encoding("br"), "Content-Encoding 'br'", marks=fault("T22")),
    ],
    ids=["closed", "half gzip", "long length", "20 KB header", "brotli"],
)
def test_a_page_that_stays_broken_is_named_with_its_rows(
    breaks: Fault, said: str, tmp_path: Path
) -> None:
    with fake_ols(broken.on_rows(breaks, 23)) as ols:
        sentence = refused(ols, tmp_path, PageRejected, said)
        assert len(ols.log) < 60
    assert "row 23 of the current list" in sentence
    assert "Nothing was published" in sentence
    assert "pages are kept in" in sentence


@fault("T18")
def test_ten_thousand_headers_are_an_error_and_no_memory(tmp_path: Path) -> None:
    many = broken.headers(**{f"X{number}": "y" for number in range(10_000)})
    with fake_ols(broken.on_page(many)) as ols:
        done = download(ols, tmp_path)
        assert_whole(done, ols)
    assert done.traffic.retries == 1


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(broken.dripping(0.02), marks=fault("T07"), id="one byte after the other"),
        pytest.param(broken.hanging, marks=fault("T08"), id="nothing at all"),
    ],
)
def test_a_slow_answer_is_ended_and_others_go_on_meanwhile(slow: Fault, tmp_path: Path) -> None:
    with fake_ols(broken.on_page(slow, page=0)) as ols:
        done = download(ols, tmp_path, timeout=ClientTimeout(1.0, sock_read=0.8))
        assert_whole(done, ols)
        first, again = (
            asked.at_s for asked in ols.pages if (asked.page, asked.listing) == (0, "current")
        )
        assert again - first >= 0.75
        meanwhile = [asked for asked in ols.pages if first < asked.at_s < again]
        assert len(meanwhile) == done.pages - 1
    assert done.traffic.retries == 1


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/api/v2/ontologies/efo", marks=fault("T15"), id="itself"),
        pytest.param("http://169.254.169.254/latest/meta-data", marks=fault("T16"), id="metadata"),
        pytest.param("//localhost:1/x", marks=fault("T16"), id="another host"),
        pytest.param("file:///etc/passwd", marks=fault("T17"), id="file"),
        pytest.param("http://[", marks=fault("T17"), id="no URL"),
    ],
)
def test_a_redirect_is_never_followed(target: str, tmp_path: Path) -> None:
    with fake_ols(broken.everywhere(broken.redirect(target))) as ols:
        said = refused(ols, tmp_path, OlsRefused, "redirects to")
        assert len(ols.log) == 1
    assert target in said
    assert "is not followed" in said


@fault("T17")
def test_a_step_down_from_https_is_not_followed(trusted: trustme.CA, tmp_path: Path) -> None:
    with fake_ols() as plain:
        away = broken.everywhere(broken.redirect(f"{plain.url}/api/v2/ontologies/efo"))
        with fake_ols(away, host="localhost", tls=_issued(trusted)) as ols:
            refused(ols, tmp_path, OlsRefused, "is not followed")
        assert plain.log == []


@fault("T16")
@fault("S09")
def test_links_and_redirects_lead_nowhere_else(tmp_path: Path) -> None:
    with fake_ols() as elsewhere:
        link = f"{elsewhere.url}/api/v2/ontologies/efo/classes?page=1"
        links = {"_links": {name: {"href": link} for name in ("next", "first", "self", "last")}}

        def with_links(page: dict[str, Any]) -> None:
            page.update(links, next=link)

        with fake_ols(broken.everywhere(broken.edited(with_links))) as ols:
            done = download(ols, tmp_path / "links")
            assert done.page_set.complete
        with fake_ols(broken.on_page(broken.redirect(link))) as ols:
            refused(ols, tmp_path / "redirect", OlsRefused, "is not followed")
        assert elsewhere.log == []


@fault("T21")
def test_connections_that_are_dropped_when_idle_are_no_failure(tmp_path: Path) -> None:
    with fake_ols(broken.everywhere(broken.closed_when_idle)) as ols:
        done = download(ols, tmp_path, page_size=2, attempts=1)
        assert ols.connections >= done.pages
    assert done.page_set.complete
    assert done.traffic.requests == len(ols.log) + done.traffic.retries


@fault("T21")
def test_a_new_connection_that_is_dropped_is_a_failure(tmp_path: Path) -> None:
    with fake_ols(broken.everywhere(broken.closed_before_headers)) as ols:
        refused(ols, tmp_path, OlsUnreachable, "1 attempt", attempts=1)
        assert len(ols.log) == 1


@fault("T23")
def test_a_flapping_link_costs_less_than_a_third_more(tmp_path: Path) -> None:
    pages = requests = 0
    for seed in (1, 2, 3):

        def flap(asked: Asked, seed: int = seed) -> Fault | None:
            chance = random.Random(f"{seed} {asked.target} {asked.attempt}")
            dies = not asked.is_probe and chance.random() < 0.2
            return broken.cut_at(chance.random()) if dies else None

        with fake_ols(flap, classes=400) as ols:
            done = download(ols, tmp_path / str(seed), page_size=4)
            assert_whole(done, ols)
            pages, requests = pages + done.pages, requests + len(ols.pages)
    assert requests <= 1.3 * pages


@fault("T24")
def test_a_slow_host_is_not_asked_more_at_once_than_allowed(tmp_path: Path) -> None:
    with fake_ols(broken.everywhere(broken.late(0.02))) as ols:
        done = download(ols, tmp_path, page_size=2, max_in_flight=6)
        assert ols.max_in_flight <= 6
    assert done.page_set.complete
    assert done.max_in_flight_seen <= 6
