"""Logging in: for the Slicer client with a bearer token, for a browser with a cookie."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from monai_sfda.label.server.attempts import Attempts, BlockedError
from monai_sfda.label.server.gate import COOKIE
from monai_sfda.label.server.logs import event
from monai_sfda.label.server.pages import login_page
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.server.tokens import Tokens

_MOST = 320


def login_router(tokens: Tokens | None, *, is_tls: bool) -> APIRouter:
    """The endpoints of logging in and out, and of freeing an address.

    Args:
        tokens: of the logins; None: nobody has to log in.
        is_tls: whether browsers reach the server over TLS; the cookie is then never sent without.
    """
    router = APIRouter(tags=["Login"])
    attempts = Attempts()

    def check(request: Request, username: str, password: str) -> User | None:
        """The user, None for a wrong password."""
        if tokens is None:
            return None
        address = request.client.host if request.client is not None else "unknown"
        try:
            with attempts.attempt(address, username[:_MOST]) as succeeded:
                user = tokens.users.check(username, password)
                if user is not None:
                    succeeded()
        except BlockedError as error:
            event("login_blocked", busy=error.busy)
            said = "too many logins at once" if error.busy else "too many failed logins from this address"
            status = 503 if error.busy else 429
            raise HTTPException(status, said, headers={"Retry-After": str(error.seconds)}) from error
        event("login", user=user.name if user is not None else None, right=user is not None)
        return user

    @router.get("/auth/", summary="Whether one has to log in")
    def enabled() -> dict[str, Any]:
        return {"enabled": tokens is not None, "client_id": "monailabel-app", "realm": "monai-sfda"}

    @router.post("/auth/token", summary="Log in: name and password for a bearer token")
    def token(
        request: Request,
        username: Annotated[str, Form(max_length=_MOST)],
        password: Annotated[str, Form(max_length=_MOST)],
    ) -> dict[str, Any]:
        """What 3D Slicer sends; 401 for a wrong password, 429 after too many."""
        if tokens is None:
            return {"access_token": "", "token_type": "bearer"}
        user = check(request, username, password)
        if user is None:
            raise HTTPException(401, "wrong name or password", headers={"WWW-Authenticate": "Bearer"})
        return {"access_token": tokens.issue(user), "token_type": "bearer", "expires_in": tokens.seconds}

    @router.get("/auth/token/valid", summary="Whose token it is")
    def valid(user: Annotated[User, Depends(current_user)]) -> dict[str, Any]:
        return {"username": user.name, "email": None, "name": user.name, "roles": sorted(user.roles)}

    @router.get("/auth/blocked", summary="Addresses that may not try to log in for now")
    def blocked() -> list[dict[str, Any]]:
        return attempts.blocked()

    @router.delete("/auth/blocked", summary="Let an address try again at once")
    def free(address: str) -> dict[str, int]:
        return {"freed": attempts.free(address)}

    @router.get("/login", include_in_schema=False)
    def page(next: str = "/") -> Response:
        if tokens is None:
            return RedirectResponse(_own_path(next), 303)
        return HTMLResponse(login_page(_own_path(next)))

    @router.post("/login", include_in_schema=False)
    def log_in(
        request: Request,
        username: Annotated[str, Form(max_length=_MOST)],
        password: Annotated[str, Form(max_length=_MOST)],
        next: Annotated[str, Form(max_length=4096)] = "/",
    ) -> Response:
        """The form of the login page: a cookie that no script reads, and on to the page that was wanted."""
        if tokens is None:
            return RedirectResponse(_own_path(next), 303)
        try:
            user = check(request, username, password)
        except HTTPException as error:
            text = f"{error.detail}; try again later"
            return HTMLResponse(
                login_page(_own_path(next), text), error.status_code, headers=dict(error.headers or {})
            )
        if user is None:
            return HTMLResponse(login_page(_own_path(next), "wrong name or password"), 401)
        response = RedirectResponse(_own_path(next), 303)
        secure = is_tls or request.url.scheme == "https"
        response.set_cookie(
            COOKIE, tokens.issue(user), tokens.seconds, secure=secure, httponly=True, samesite="strict"
        )
        return response

    @router.post("/logout", include_in_schema=False)
    def log_out(request: Request) -> Response:
        """Ends the login that the request came with, wherever else it is used."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
        if tokens is not None and given:
            tokens.end(given)
        wants_page = "text/html" in request.headers.get("accept", "")
        response: Response = RedirectResponse("/login", 303) if wants_page else JSONResponse({})
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router


def _own_path(wanted: str) -> str:
    """Where to go after logging in: a path of this server, or its first page.

    >>> _own_path("/ohif/?a=1"), _own_path("//evil.example/"), _own_path("https://evil.example/")
    ('/ohif/?a=1', '/', '/')
    """
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    plain = wanted.isprintable() and "\\" not in wanted
    if parts.scheme or parts.netloc or not wanted.startswith("/") or wanted.startswith("//") or not plain:
        return "/"
    return wanted
