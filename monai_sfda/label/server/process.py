"""The server as a process: from the first check to the last thread."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from monai_sfda.errors import SettingError
from monai_sfda.label.server.config import ServerSettings
from monai_sfda.label.server.home import own_home
from monai_sfda.label.server.logs import event, set_up_logs

_LEFT_S = 5.0
_CONNECTIONS = 1000


def serve(settings: ServerSettings, *, announce: Callable[[str], None]) -> int:
    """Serves until SIGTERM or SIGINT; then ends what runs, in bounded time.

    Args:
        settings: of the server.
        announce: is told the address once the application is loaded.

    Returns:
        The exit status: 0 after an orderly end.

    Raises:
        SfdaError: when something that is needed cannot be used; nothing is left running.
    """
    settings.check()
    with own_home(settings.home):
        status = _serve(settings, announce)
    _leave_threads(status)
    return status


def _serve(settings: ServerSettings, announce: Callable[[str], None]) -> int:
    log_file = set_up_logs(settings.home / "logs")
    faulthandler.enable()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    listening = listen(settings.host, settings.port)
    from monai_sfda.label.server.application import Server

    server = Server(settings, log_file=log_file)
    web = uvicorn.Server(
        uvicorn.Config(
            server.asgi,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=settings.behind_proxy is not None,
            forwarded_allow_ips=settings.behind_proxy or "",
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            timeout_keep_alive=75,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=int(settings.limits.shutdown_s),
            ws="none",
            lifespan="on",
        )
    )
    announce(address_of(settings))
    if settings.is_open:
        event("unencrypted", logging.WARNING)
        announce(
            "warning: passwords and scans cross the network unencrypted; give --tls-cert and --tls-key, "
            "or put a reverse proxy with TLS before it (--behind-proxy)"
        )
    try:
        web.run(sockets=[listening])
    except (SystemExit, KeyboardInterrupt):
        event("told_to_stop")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server.close()
    return 0 if web.started else 3


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingError: when the address or the port cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(1024)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise SettingError(
            f"port {port} of {host} cannot be used ({error.strerror or error})",
            remedy="choose another --port or --host, or end what uses it",
        ) from error
    return made


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _leave_threads(status: int) -> None:
    """Ends the process although a computation may still run in a thread, which Python would wait for."""
    until = time.monotonic() + _LEFT_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
    left = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and not thread.daemon and thread.is_alive()
    ]
    if left:
        event("threads_left", logging.WARNING, names=[thread.name for thread in left])
        logging.shutdown()
        sys.stdout.flush()
        os._exit(status)


def address_of(settings: ServerSettings) -> str:
    """How the server is reached, in words."""
    scheme = "https" if settings.is_tls else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"monai-sfda serves at {scheme}://{host}:{settings.port}/ (research software: not for diagnosis)"
