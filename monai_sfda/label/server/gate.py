"""What every request passes: its id, the host and origin it names, its sender, the sender's role, its size.

A pure ASGI middleware round the application: nothing behind it is reached by a request that it refuses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monai_sfda.label.server import answers
from monai_sfda.label.server.access import RULES, Rule, methods_of, rule_for
from monai_sfda.label.server.bodies import (
    STRANGERS_BYTES,
    STRANGERS_PAUSE_S,
    UPLOADS,
    LimitedBody,
    Uploads,
    length_of,
    most_bytes,
    too_large,
)
from monai_sfda.label.server.boundary import with_true_boundary
from monai_sfda.label.server.config import ServerSettings
from monai_sfda.label.server.logs import event
from monai_sfda.label.server.roles import LOCAL, User, remember_user
from monai_sfda.label.server.tokens import Tokens

COOKIE = "sfda_session"
_OPEN = "sfda_open"
_MOST_OPEN = 100
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'"
)
_OHIF = (
    "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; frame-ancestors 'self'"
)
"""OHIF compiles WebAssembly and starts workers from blobs; both are of this server alone."""


class Gate:
    """See the module.

    Args:
        app: the application behind it.
        settings: of the server.
        tokens: of the logins; None: everybody is the local user.
        rules: the table of roles.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServerSettings,
        tokens: Tokens | None,
        rules: Iterable[Rule] = RULES,
    ) -> None:
        self.app = app
        self.settings = settings
        self.tokens = tokens
        self.rules = tuple(rules)
        self.names = settings.host_names()
        self.uploads = Uploads(settings.limits, settings.home)
        self.in_hand = {True: 0, False: 0}
        """Requests in hand: those that need no login (True), and the others, which they cannot hold up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        answers.remember_request_id(scope, answers.new_request_id(headers.get(answers.HEADER)))
        sender = _Sender(send, scope, is_tls=self.settings.is_tls)
        started = time.monotonic()
        try:
            await self._handle(scope, headers, receive, sender)
        except ClientDisconnect:
            sender.status = sender.status or 499
        except asyncio.CancelledError:
            sender.status = sender.status or 499
            raise
        finally:
            _log(scope, sender.status, time.monotonic() - started)

    async def _handle(self, scope: Scope, headers: Headers, receive: Receive, send: _Sender) -> None:
        body: LimitedBody | None = None
        try:
            refused = self._refuse(scope, headers)
            if refused is not None:
                await refused(scope, receive, send)
                return
            is_open = bool(scope.get(_OPEN))
            body = self._limited(scope, headers, receive)
            self.in_hand[is_open] += 1
            try:
                await self.app(scope, await with_true_boundary(scope, body), send)
            finally:
                self.in_hand[is_open] -= 1
        except ClientDisconnect:
            raise
        except Exception as error:
            if scope.get(answers.ANSWERED):
                return
            if send.status:
                event("answer_broken_off", logging.ERROR, request_id=answers.request_id_of(scope))
                raise
            await answers.answer_error(scope, error)(scope, receive, send)
        finally:
            if body is not None:
                body.close()

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that may not pass; None: it may."""
        method, path = scope["method"], scope["path"]
        if not self._is_known_host(headers.get("host", "")):
            return answers.answer(
                scope,
                421,
                "this server is not known by that name",
                remedy="use a name that the administrator has listed with --names",
            )
        if not self._is_own_page(headers, method, is_cookie=False):
            return answers.answer(scope, 403, "a page of another site may not do this")
        user, is_cookie = self._who(headers)
        rule = rule_for(method, path, self.rules)
        scope["sfda_route"] = rule.path if rule is not None else None
        if user is not None:
            remember_user(scope, user)
        if rule is not None and rule.role is None:
            scope[_OPEN] = True
            return self._busy(scope) if not path.startswith("/health") else None
        if user is None:
            return self._ask_to_log_in(scope, headers)
        if is_cookie and not self._is_own_page(headers, method, is_cookie=True):
            return answers.answer(scope, 403, "a browser's request must come from a page of this server")
        if rule is None:
            return self._unknown(scope, path)
        assert rule.role is not None
        if not user.may(rule.role):
            return answers.answer(scope, 403, f"this needs the role '{rule.role}'")
        return self._busy(scope)

    def _busy(self, scope: Scope) -> Response | None:
        is_open = bool(scope.get(_OPEN))
        most = _MOST_OPEN if is_open else self.settings.limits.requests
        if self.in_hand[is_open] < most:
            return None
        return answers.answer(scope, 503, "too many requests at once", headers={"Retry-After": "5"})

    def _unknown(self, scope: Scope, path: str) -> Response:
        allowed = methods_of(path, self.rules)
        if allowed:
            headers = {"Allow": ", ".join(sorted(allowed))}
            return answers.answer(scope, 405, f"{scope['method']} is not answered here", headers=headers)
        return answers.answer(scope, 404, "there is nothing at this address")

    def _who(self, headers: Headers) -> tuple[User | None, bool]:
        """Who sends a request, and whether a browser's cookie says so."""
        if self.tokens is None:
            return LOCAL, False
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given:
            return self.tokens.check(given.strip()), False
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        return (self.tokens.check(cookie), True) if cookie else (None, False)

    def _ask_to_log_in(self, scope: Scope, headers: Headers) -> Response:
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = scope["path"] + (f"?{query}" if query else "")
            return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
        return answers.answer(scope, 401, "log in first", headers={"WWW-Authenticate": "Bearer"})

    def _is_known_host(self, host: str) -> bool:
        name = _name_of(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True

    def _is_own_page(self, headers: Headers, method: str, *, is_cookie: bool) -> bool:
        """Whether a request that changes something comes from this server's pages, or from no browser.

        A browser says where its page is from; with a cookie, which another site's page could make it send, it
        must.
        """
        if method in _SAFE:
            return True
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None:
            if origin.lower() in {known.lower() for known in self.settings.origins}:
                return not is_cookie
            return _same_place(origin, headers.get("host", ""))
        if site is not None:
            return site in ("same-origin", "none")
        return not is_cookie

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> LimitedBody:
        limits, route = self.settings.limits, scope.get("sfda_route") or ""
        has_body = scope["method"] in ("PUT", "POST")
        most, length = most_bytes(limits, route), length_of(headers) if has_body else 0
        if length > most:
            raise too_large(most)
        if scope.get(_OPEN):
            return LimitedBody(receive, min(most, STRANGERS_BYTES), min(limits.pause_s, STRANGERS_PAUSE_S))
        if not (route in UPLOADS and has_body):
            return LimitedBody(receive, most, limits.pause_s)
        user = scope["state"]["sfda_user"].name
        self.uploads.enter(length, user)
        return LimitedBody(receive, most, limits.pause_s, lambda: self.uploads.leave(user))


class _Sender:
    """A `send` of ASGI that notes the status and adds the headers that every answer has."""

    def __init__(self, send: Send, scope: Scope, *, is_tls: bool) -> None:
        self._send = send
        self._scope = scope
        self._is_tls = is_tls
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            path = self._scope["path"]
            headers[answers.HEADER] = answers.request_id_of(self._scope)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers["X-Frame-Options"] = "SAMEORIGIN"
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("Content-Security-Policy", _OHIF if path.startswith("/ohif") else _OWN_PAGES)
            if self._is_tls:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        await self._send(message)


def _log(scope: Scope, status: int, seconds: float) -> None:
    user = scope.get("state", {}).get("sfda_user")
    route = scope.get("sfda_route") or "none"
    level = (
        logging.DEBUG if route.startswith(("/health", "/ohif", "/proxy")) and status < 400 else logging.INFO
    )
    event(
        "request",
        level,
        request_id=answers.request_id_of(scope),
        method=scope["method"] if scope["method"].isalpha() else "?",
        route=route,
        status=status,
        seconds=round(seconds, 3),
        user=user.name if isinstance(user, User) else None,
    )


def _name_of(host: str) -> str:
    """The host of a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _same_place(origin: str, host: str) -> bool:
    """Whether an origin is the host, ports included; a proxy that ends TLS may have changed the scheme."""
    try:
        ours, theirs = urlsplit(f"//{host}"), urlsplit(origin)
        standard = {"https": 443, "http": 80}.get(theirs.scheme)
        if standard is None or theirs.hostname is None or theirs.hostname != ours.hostname:
            return False
        return (theirs.port or standard) == (ours.port or standard)
    except ValueError:
        return False
