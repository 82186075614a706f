"""TLS before the users' passwords: spoken by the server itself, and by nginx as the documentation says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from monai_sfda.label.demo.processes import LOOPBACK, free_port, running, wait_until
from monai_sfda.label.demo.serving import serve_command
from tests.builders import REPOSITORY
from tests.label.certificates import make_certificate
from tests.label.installed import MODEL, Installed, installed  # noqa: F401
from tests.label.servers import PASSWORDS, add_users, started

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
GUIDE = REPOSITORY / "docs" / "how_to_serve.md"
NAME = "sfda.example.org"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


class Browser:
    """A browser that trusts one certificate and reaches a name that no DNS knows.

    Args:
        port: of the server.
        certificate: PEM.
        name: that it believes to talk to.
    """

    def __init__(self, port: int, certificate: Path, name: str = LOOPBACK) -> None:
        self.url, self.host = f"https://{LOOPBACK}:{port}", f"{name}:{port}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(certificate)

    def send(self, method: str, path: str, *, origin: str | None = None, **more) -> requests.Response:
        """A request as a page of the server sends it, or one of another origin."""
        headers = {"Host": self.host, "Origin": origin or f"https://{self.host}"} | more.pop("headers", {})
        return self.session.request(
            method, f"{self.url}{path}", headers=headers, timeout=300, allow_redirects=False, **more
        )

    def log_in(self, user: str, password: str, **more) -> requests.Response:
        """The form of the login page."""
        return self.send("POST", "/login", data={"username": user, "password": password}, **more)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "tls"
    folder.mkdir()
    return make_certificate(folder)


@pytest.fixture
def options(installed: Installed, tmp_path: Path) -> list[str]:  # noqa: F811
    """Of a server over a copy of the store, with users."""
    store = installed.copy_store(tmp_path / "store")
    users = add_users(tmp_path / "users.json")
    return ["--store", str(store.root), "--users", str(users), "--device", "cpu"]


@pytest.fixture
def studies(installed: Installed, tmp_path: Path) -> Path:  # noqa: F811
    return installed.copy_studies(tmp_path / "studies", 1)


def test_the_server_itself_speaks_tls(studies: Path, options: list[str], tmp_path: Path, certificate) -> None:
    port = free_port()
    files = ["--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])]
    words = serve_command(studies, tmp_path / "home", port, *options, *files)
    browser = Browser(port, certificate[0])
    with running("the server", words, tmp_path / "server.log") as process:
        wait_until(lambda: answers(browser), process, seconds=300)
        check_login(browser)
        segment(browser)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{LOOPBACK}:{port}/health", timeout=10)


@pytest.fixture
def behind_nginx(studies: Path, options: list[str], tmp_path: Path, certificate) -> Iterator[Browser]:
    """The server behind nginx with the documented lines; names, files and ports are the test's."""
    if NGINX is None:
        pytest.skip("nginx is not installed: sudo apt-get install nginx-light")
    port = free_port()
    more = ["--behind-proxy", LOOPBACK, "--names", NAME]
    with started(studies, tmp_path / "home", *options, *more) as server:
        file = nginx_file(tmp_path, port, server.url, certificate)
        browser = Browser(port, certificate[0], NAME)
        words = [NGINX, "-p", str(tmp_path), "-c", str(file), "-e", str(tmp_path / "nginx_errors.log")]
        with running("nginx", words, tmp_path / "nginx.log") as process:
            wait_until(lambda: answers(browser), process, seconds=60)
            yield browser


def nginx_file(root: Path, port: int, server: str, certificate: tuple[Path, Path]) -> Path:
    """The block of the documentation in a whole configuration of an nginx that needs no rights."""
    block = re.search(r"^    server \{\n.*?^    \}\n", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    assert block is not None
    documented = block[0]
    for written, here in {
        "listen 443 ssl;": f"listen {LOOPBACK}:{port} ssl;",
        "/etc/ssl/sfda.pem": str(certificate[0]),
        "/etc/ssl/sfda.key": str(certificate[1]),
        "http://127.0.0.1:8000": server,
    }.items():
        assert documented.count(written) == 1, written
        documented = documented.replace(written, here)
    assert f"server_name {NAME};" in documented
    places = "".join(
        f"    {kind}_temp_path {root / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = root / "nginx.conf"
    file.write_text(
        f"daemon off;\nmaster_process off;\npid {root / 'nginx.pid'};\nevents {{}}\n"
        f"http {{\n    access_log off;\n{places}{documented}}}\n",
        encoding="utf-8",
    )
    return file


def test_behind_nginx_as_documented(behind_nginx: Browser) -> None:
    check_login(behind_nginx)
    segment(behind_nginx)
    assert behind_nginx.send("GET", "/", headers={"Host": "elsewhere.example"}).status_code == 421
    assert behind_nginx.send("POST", "/logout", origin="https://elsewhere.example").status_code == 403
    assert behind_nginx.send("GET", "/info/").status_code == 200, "still logged in"
    assert behind_nginx.send("POST", "/logout", headers={"Accept": "text/html"}).status_code == 303
    assert behind_nginx.send("GET", "/info/").status_code == 401


def test_nobody_guesses_passwords_under_invented_addresses(behind_nginx: Browser) -> None:
    """nginx sets the address that failures count for; what a client says of itself is dropped."""
    statuses = [
        behind_nginx.log_in("reader", "guess", headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
        for number in range(1, 30)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def answers(browser: Browser) -> bool:
    try:
        return browser.send("GET", "/health").status_code == 200
    except requests.RequestException:
        return False


def check_login(browser: Browser) -> None:
    """The cookie never travels without TLS, and no script reads it."""
    assert browser.send("GET", "/info/").status_code == 401
    answer = browser.log_in("reader", PASSWORDS["reader"])
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("secure", "httponly", "samesite=strict")), cookie


def segment(browser: Browser) -> None:
    """A page's own requests: what there is, and a segmentation."""
    assert MODEL in browser.send("GET", "/info/").json()["models"]
    image = next(iter(browser.send("GET", "/datastore/", params={"output": "all"}).json()["objects"]))
    answer = browser.send(
        "POST", f"/infer/{MODEL}", params={"image": image, "output": "image"}, data={"params": "{}"}
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 100
