"""The login in front of the UI: nothing without a password, nothing for another site's pages."""

import base64
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from efo_assets.sample.server import running_sample
from efo_assets_tests.commands import free_port
from efo_assets_tests.deployment.processes import ROOT, patiently

NEEDED = ("nginx", "htpasswd", "openssl")
missing = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Open to the account that nginx serves as; pytest's own folder is closed to it."""
    made = Path(tempfile.mkdtemp(prefix="efo-l-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def proxy(folder: Path) -> Iterator[str]:
    """nginx with our configuration before an HTTP server that stands where the UI would."""
    run(folder, "htpasswd", "-cbB", "htpasswd", "alice", "secret")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", "key.pem", "-out", "cert.pem")
    run(folder, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject)
    with running_sample(classes=30) as ui:
        port = free_port()
        text = (ROOT / "deploy" / "login" / "nginx.conf").read_text()
        text = text.replace("listen 8443", f"listen 127.0.0.1:{port}")
        (folder / "nginx.conf").write_text(text.replace("http://127.0.0.1:3000", ui.url))
        command = ["nginx", "-p", str(folder), "-c", "nginx.conf"]
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            url = f"https://127.0.0.1:{port}/api/v2/health"
            patiently(lambda: status(url, folder) is not None, "nginx answers")
            yield url
        finally:
            process.terminate()
            process.wait()


def run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def status(url: str, folder: Path, *, method: str = "GET", **headers: str) -> int | None:
    """The status of an answer, or None where there is none."""
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    request = Request(url, headers=named, method=method)
    try:
        with urlopen(request, context=context) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except (URLError, FileNotFoundError):
        return None


def login(password: str) -> str:
    return "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()


@pytest.mark.fault("S12")
def test_only_who_knows_the_password_gets_to_the_ui(proxy: str, folder: Path) -> None:
    assert status(proxy, folder) == 401
    assert status(proxy, folder, Authorization=login("wrong")) == 401
    assert status(proxy, folder, Authorization=login("secret")) == 200


@pytest.mark.fault("S12")
def test_another_sites_page_gets_nothing_through_a_logged_in_browser(
    proxy: str, folder: Path
) -> None:
    known = login("secret")
    crossing = status(proxy, folder, Authorization=known, Sec_Fetch_Site="cross-site")
    assert crossing == 403
    own = status(proxy, folder, Authorization=known, Sec_Fetch_Site="same-origin")
    assert own == 200


@pytest.mark.fault("S12")
def test_no_other_name_leads_to_the_ui(proxy: str, folder: Path) -> None:
    known = login("secret")
    assert status(proxy, folder, Authorization=known, Host="evil.example.org") == 421
    assert status(proxy, folder, Authorization=known, Host="localhost") == 200


@pytest.mark.fault("S12")
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "//graphql", "/%67raphql"])
def test_a_link_makes_no_mutation(proxy: str, folder: Path, path: str) -> None:
    graphql = proxy.replace("/api/v2/health", path)
    known = login("secret")
    assert status(graphql, folder, Authorization=known) == 405
    assert status(graphql, folder, Authorization=known, method="HEAD") == 405
    # What stands where the UI would knows no such address: these got through to it.
    assert status(graphql, folder, Authorization=known, method="POST") == 404
    websocket = {"Upgrade": "websocket", "Connection": "upgrade"}
    assert status(graphql, folder, Authorization=known, **websocket) == 404
