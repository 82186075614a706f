"""Every failure is answered as JSON: a reason, a remedy, the request's id; never an internal of the server.

`detail` is the key that MONAI Label's clients read.
"""

from __future__ import annotations

import logging
import secrets
import string
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Scope

from monai_sfda.errors import DataError, OutputError, SettingError, SfdaError, StoreError
from monai_sfda.label.server.logs import event, trace_of
from monai_sfda.label.studies.errors import PacsError, StillArrivingError, TakenError, UnknownImageError

HEADER = "X-Request-ID"
ANSWERED = "sfda_answered"
"""Key of a request's scope: its failure is answered and logged, although the exception still comes up."""
_STATE = "sfda_request_id"
_PLAIN = frozenset(string.hexdigits + "-")


class NotThereError(SfdaError):
    """What a client asks for is not there."""


class RefusedError(SfdaError):
    """A request that this server does not take, whoever asks."""


class BusyError(SfdaError):
    """The server, or the PACS behind it, has too much in hand.

    Attributes:
        seconds: after which another try makes sense.
    """

    seconds = 10


class TooLargeError(SfdaError):
    """More than the server takes: one request, or one user's uploads."""


_STATUS: tuple[tuple[type[SfdaError], int], ...] = (
    (NotThereError, 404),
    (UnknownImageError, 404),
    (TakenError, 409),
    (StillArrivingError, 503),
    (PacsError, 502),
    (RefusedError, 403),
    (BusyError, 503),
    (TooLargeError, 413),
    (DataError, 422),
    (SettingError, 422),
    (StoreError, 409),
    (OutputError, 507),
    (SfdaError, 500),
)
_REMEDIES = {
    400: "check what was sent",
    401: "log in",
    403: "ask the server's administrator",
    404: "check the address and the name asked for",
    405: "check the method",
    406: "ask the server's administrator",
    413: "send less at once, or ask the server's administrator for a higher limit",
    415: "check the content type",
    422: "check the value named in the detail",
    429: "wait until the running task has ended, or stop it",
    503: "try again in a while",
}
_UNKNOWN = "the server failed at this request"
_TELL = "tell the server's administrator the request id"


def new_request_id(given: str | None) -> str:
    """A client's own id when it is hexadecimal (as UUIDs are) and short, else a new one."""
    if given and 8 <= len(given) <= 64 and set(given) <= _PLAIN:
        return given
    return secrets.token_hex(8)


def remember_request_id(scope: Scope, identifier: str) -> None:
    """Notes the id in the request's scope."""
    scope.setdefault("state", {})[_STATE] = identifier


def request_id_of(scope: Scope) -> str:
    """The request's id."""
    return str(scope.get("state", {}).get(_STATE, "-"))


def answer(
    scope: Scope,
    status: int,
    detail: Any,
    *,
    remedy: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A failure as JSON."""
    identifier = request_id_of(scope)
    found = remedy or _REMEDIES.get(status, _TELL)
    content = {"detail": detail, "remedy": found, "request_id": identifier}
    return JSONResponse(content, status, {**(headers or {}), HEADER: identifier})


def status_of(error: SfdaError) -> int:
    """The HTTP status that says whose fault an error is; a class may say its own as `http_status`."""
    own = getattr(type(error), "http_status", None)
    if isinstance(own, int):
        return own
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def answer_error(scope: Scope, error: Exception) -> JSONResponse:
    """The answer to whatever went wrong; logs it without its text."""
    if isinstance(error, SfdaError):
        return _answer_own(scope, error)
    inner = _own_cause(error)
    if isinstance(error, StarletteHTTPException) and (inner is None or error.status_code != 400):
        return answer(scope, error.status_code, error.detail, headers=error.headers)
    if inner is not None:
        return _answer_own(scope, inner)
    known = _answer_stock(scope, error)
    if known is not None:
        return known
    _note(scope, 500, error, logging.ERROR)
    return answer(scope, 500, _UNKNOWN, remedy=_TELL)


def install_handlers(app: FastAPI) -> None:
    """Makes an application answer failures as this module does."""

    async def http(request: Request, error: Exception) -> JSONResponse:
        return answer_error(request.scope, error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        kept = [
            {"loc": [str(part) for part in found["loc"]], "msg": found["msg"], "type": found["type"]}
            for found in error.errors()
        ]
        return answer(request.scope, 422, kept)

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        request.scope[ANSWERED] = True
        return answer_error(request.scope, error)

    app.add_exception_handler(Exception, unknown)
    app.add_exception_handler(SfdaError, http)
    app.add_exception_handler(StarletteHTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def _answer_own(scope: Scope, error: SfdaError) -> JSONResponse:
    status = status_of(error)
    _note(scope, status, error, logging.WARNING if status < 500 else logging.ERROR)
    where = error.where()
    detail = error.what if where is None else f"{error.what} in {where}"
    headers = {"Retry-After": str(getattr(error, "seconds", BusyError.seconds))} if status == 503 else {}
    return answer(scope, status, detail, remedy=error.remedy, headers=headers)


def _answer_stock(scope: Scope, error: Exception) -> JSONResponse | None:
    """A full memory, and MONAI Label's own errors."""
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        _note(scope, 503, error, logging.ERROR)
        remedy = "try again in a while; if it fails again, tell the server's administrator"
        headers = {"Retry-After": "60"}
        return answer(scope, 503, "there is not enough memory for this scan", remedy=remedy, headers=headers)
    if kind in ("ImageNotFoundException", "LabelNotFoundException"):
        _note(scope, 404, error, logging.WARNING)
        what = "image" if kind.startswith("Image") else "label"
        return answer(scope, 404, f"there is no such {what} in the datastore")
    if kind == "MONAILabelException":
        told = str(getattr(error, "msg", ""))
        is_input = "INVALID_INPUT" in str(getattr(error, "error", "")) or "strategy" in told
        status = 404 if is_input else 500
        _note(scope, status, error, logging.WARNING if is_input else logging.ERROR)
        return answer(scope, status, told if is_input else _UNKNOWN, remedy=None if is_input else _TELL)
    return None


def _own_cause(error: BaseException) -> SfdaError | None:
    """An error of ours that another library has wrapped."""
    seen = 0
    current: BaseException | None = error
    while current is not None and seen < 10:
        if isinstance(current, SfdaError):
            return current
        current, seen = current.__cause__, seen + 1
    return None


def _note(scope: Scope, status: int, error: Exception, level: int) -> None:
    more = {"trace": trace_of(error)} if status >= 500 else {}
    event("error", level, request_id=request_id_of(scope), status=status, error=type(error).__name__, **more)
