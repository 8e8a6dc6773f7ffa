"""OLS behind a proxy: used when EFO_PROXY names one, and named when it is in the way."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from efo_assets.errors import OlsRefused, OlsUnreachable
from efo_assets.graph.ols import LIMIT_S, served
from efo_assets.pipeline import load as pipeline
from efo_assets.settings import Settings
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.faults.downloading import Pauses, assert_whole, download, refused
from efo_assets_tests.faults.fake_ols import FakeOls, fake_ols
from efo_assets_tests.faults.http_proxy import HttpProxy, running_http_proxy

pytestmark = pytest.mark.fault("T25")
HOST = "ols.invalid"
"""The proxy alone can reach it."""
LOGIN, IN_URL = "me:CANARY@é", "me:CANARY%40%C3%A9"


def with_login(proxy: HttpProxy) -> str:
    return proxy.url.replace("://", f"://{IN_URL}@")


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext | None:
    """The certificate of OLS, where it has one; it is trusted."""
    if request.param == "http":
        return None
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    return context


def test_all_requests_go_through_the_proxy(tls: ssl.SSLContext | None, tmp_path: Path) -> None:
    with fake_ols(host=HOST, tls=tls) as ols, running_http_proxy(ols.port, LOGIN) as proxy:
        assert_whole(download(ols, tmp_path, proxy=with_login(proxy)), ols)
        assert {name for asked in ols.log for name in asked.headers if "proxy" in name} == set()
    if tls is None:
        assert len(proxy.asked) == len(ols.log)
    else:
        assert set(proxy.asked) == {f"CONNECT {HOST}:{ols.port}"}


@pytest.mark.parametrize(("status", "said"), [(407, "user and password"), (403, "EFO_OLS_URL")])
def test_a_proxy_that_refuses_is_named_at_once(
    status: int, said: str, tls: ssl.SSLContext | None, tmp_path: Path
) -> None:
    with fake_ols(host=HOST, tls=tls) as ols, running_http_proxy(ols.port) as proxy:
        proxy.statuses = [status]
        if (status, tls) == (403, None):
            said = "OLS refused"  # a plain answer doesn't tell whose it is
        sentence = refused(ols, tmp_path, OlsRefused, said, proxy=with_login(proxy))
        assert len(proxy.asked) == 1
    assert f"status {status}" in sentence
    assert "CANARY" not in sentence


def test_a_wrong_password_is_refused(tls: ssl.SSLContext | None, tmp_path: Path) -> None:
    with fake_ols(host=HOST, tls=tls) as ols, running_http_proxy(ols.port, "me:other") as proxy:
        refused(ols, tmp_path, OlsRefused, "password in EFO_PROXY", proxy=with_login(proxy))


def test_a_proxy_that_fails_for_a_moment_is_asked_again(
    tls: ssl.SSLContext | None, tmp_path: Path
) -> None:
    with fake_ols(host=HOST, tls=tls) as ols, running_http_proxy(ols.port) as proxy:
        proxy.statuses = [502, 503]
        done = download(ols, tmp_path, proxy=proxy.url)
        assert_whole(done, ols)
    assert done.traffic.retries == 2


def test_a_proxy_that_is_down_is_named(tls: ssl.SSLContext | None, tmp_path: Path) -> None:
    url = f"{'https' if tls else 'http'}://{HOST}"
    said = refused(
        url,
        tmp_path,
        OlsUnreachable,
        "no connection to the proxy",
        proxy=f"http://{IN_URL}@127.0.0.1:1",
    )
    assert "the proxy of EFO_PROXY, 127.0.0.1:1" in said
    assert "CANARY" not in said


def test_a_proxy_whose_name_is_unknown_is_named(tmp_path: Path) -> None:
    pauses = Pauses()
    said = refused(
        "http://127.0.0.1:1",
        tmp_path,
        OlsUnreachable,
        "cannot resolve the host name 'proxy.invalid'; look at EFO_PROXY",
        proxy="http://proxy.invalid:3128",
        pause=pauses,
    )
    assert "EFO_OLS_URL" not in said


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("url", [f"https://{HOST}", "http://127.0.0.1:1"])
def test_a_proxy_variable_that_is_not_used_is_said(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_ols() as ols, running_http_proxy(ols.port) as proxy:
        monkeypatch.setenv(name, with_login(proxy))
        said = refused(
            url, tmp_path, OlsUnreachable, f"{name} is set, and is not used: .* EFO_PROXY"
        )
        assert proxy.asked == []
    assert "CANARY" not in said


def test_without_a_proxy_variable_nothing_is_said_of_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    said = refused(f"https://{HOST}", tmp_path, OlsUnreachable, "cannot resolve")
    assert "proxy" not in said.lower()


def load_settings(ols: FakeOls, proxy: HttpProxy, folder: Path) -> Settings:
    return Settings.from_environment(
        {"EFO_OLS_URL": ols.url, "EFO_PROXY": with_login(proxy), "EFO_DATA_DIR": str(folder)}
    )


def test_a_load_and_the_sensor_use_it(warehouse: Warehouse, tmp_path: Path) -> None:
    with fake_ols(host=HOST) as ols, running_http_proxy(ols.port, LOGIN) as proxy:
        settings = load_settings(ols, proxy, tmp_path)
        assert "CANARY" not in repr(settings)
        assert_whole(pipeline.fetch(settings, warehouse, fills=False), ols)
        release = asyncio.run(served(settings, warehouse, LIMIT_S))
        assert release.totals.all == ols.classes
        assert len(proxy.asked) == len(ols.log)
