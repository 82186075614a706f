"""What the administrator says about the server; what is about models and jobs is the app's."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.settings import AppSettings
from monai_sfda.label.studies.open import Credentials

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """How much the server takes on.

    Attributes:
        upload_mb: largest body of a request that carries files.
        body_kb: largest body of any other request.
        uploads: bodies with files that are received at once.
        inferences: requests for a segmentation that are in hand at once, waiting ones included.
        requests: requests of all kinds that are in hand at once.
        pause_s: longest pause of a client in the middle of a body.
        session_hours: longest life of an uploaded scan.
        session_gb_user, session_gb: disk that uploaded scans may take, of one user and in all.
        free_gb: disk that must stay free; below it uploads are refused and the server is not ready.
        proxy_mb: largest answer that is passed on from the PACS.
        proxy_calls: calls to the PACS at once for viewers.
        proxy_s: longest pause of the PACS in an answer.
        shutdown_s: for running requests, and again for jobs, when the server is stopped.
    """

    upload_mb: int = 2048
    body_kb: int = 1024
    uploads: int = 4
    inferences: int = 8
    requests: int = 200
    pause_s: float = 60.0
    session_hours: float = 8.0
    session_gb_user: float = 10.0
    session_gb: float = 50.0
    free_gb: float = 1.0
    proxy_mb: int = 4096
    proxy_calls: int = 24
    proxy_s: float = 60.0
    shutdown_s: float = 20.0


@dataclass(frozen=True)
class ServerSettings:
    """The server's settings.

    Attributes:
        studies: folder, or `http(s)://` address of a PACS's DICOMweb service.
        home: folder of everything that the server writes: store, jobs, sessions, downloads, logs.
        host, port: where it listens.
        users: file of users; None: everybody may do everything, on loopback only.
        names: host names by which clients reach the server, besides its addresses and the machine's own name.
        origins: other origins (`https://host[:port]`) whose pages may use the server.
        conf: the app's settings, as `--conf` of MONAI Label takes them.
        credentials: for the PACS.
        tls_certificate, tls_key: PEM files; both or none.
        behind_proxy: address of the reverse proxy whose `X-Forwarded-For` and `-Proto` are believed.
        login_hours: life of a login.
        limits: see `Limits`.
    """

    studies: str
    home: Path
    host: str = "127.0.0.1"
    port: int = 8000
    users: Path | None = None
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    conf: dict[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_proxy: str | None = None
    login_hours: float = 8.0
    limits: Limits = field(default_factory=Limits)

    @property
    def is_pacs(self) -> bool:
        """Whether the studies are in a PACS."""
        return self.studies.startswith(("http://", "https://"))

    @property
    def is_tls(self) -> bool:
        """Whether the server itself speaks TLS."""
        return self.tls_certificate is not None

    @property
    def is_open(self) -> bool:
        """Whether passwords cross a network in clear."""
        return not (is_loopback(self.host) or self.is_tls or self.behind_proxy is not None)

    def check(self) -> None:
        """Refuses what cannot be served safely, before anything is loaded.

        Raises:
            SettingError: naming the option.
            DataError: for a file or folder that is missing.
        """
        if self.users is None and not is_loopback(self.host):
            raise SettingError(
                f"--host {self.host} would let everybody on the network in",
                remedy="give --users FILE (make it with `monai-sfda users add`), or leave --host out",
            )
        if self.users is None and self.behind_proxy is not None:
            raise SettingError(
                "--behind-proxy makes a server without users reachable from outside",
                remedy="give --users FILE (make it with `monai-sfda users add`)",
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingError(
                "--tls-cert and --tls-key belong together", remedy="give both, or none of the two"
            )
        for path in (self.tls_certificate, self.tls_key, self.users):
            if path is not None and not path.is_file():
                raise DataError(
                    "there is no such file", remedy="check the option that names it", path=path.name
                )
        for origin in self.origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise SettingError(
                    f"--origins {origin} is no origin", remedy="write it as https://viewer.example.org"
                )
        AppSettings.read(self.conf, self.home)
        if not self.is_pacs and not Path(self.studies).is_dir():
            raise DataError(
                "the folder of the studies is missing",
                remedy="make it, or give the http(s):// address of a DICOMweb service",
                path=Path(self.studies).name,
            )

    def host_names(self) -> frozenset[str]:
        """Names that a request's Host may carry, in lower case; numeric addresses are always taken.

        A page of another site can make a browser call this server under the other site's name (DNS
        rebinding); a name that is not listed is refused. An address cannot be rebound.
        """
        own = {"localhost", socket.gethostname().lower(), *(name.lower() for name in self.names)}
        return frozenset({*own, self.host.lower()})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
