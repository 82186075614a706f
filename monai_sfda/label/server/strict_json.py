"""JSON of clients: an object as the standard has it, which can be written again.

Python's parser also takes NaN, Infinity and halves of surrogate pairs. One of these in a record, and no list
that holds the record could be answered any more, to anybody.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fastapi import HTTPException, Request

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def parse_json(text: str | bytes | None, what: str) -> dict[str, Any]:
    """A JSON object that a client sent; an empty one for nothing.

    Args:
        text: as it was sent.
        what: it is, for the answer.

    Raises:
        HTTPException: 422 when it is none, or has a number or a text, keys included, that JSON cannot hold.
    """
    found = _parse(text, what) if text else {}
    if not isinstance(found, dict):
        raise HTTPException(422, f"{what} is no JSON object")
    return found


async def refuse_loose_json(request: Request) -> None:
    """A dependency of every endpoint: a body of JSON is refused where `parse_json` would refuse its values.

    Only of requests that have one: MONAI Label's client (3D Slicer) sends the type and length of its last
    body with every later GET and DELETE, and nobody would send what the server waited for.

    Raises:
        HTTPException: 422.
    """
    if request.method not in _WITH_BODY:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        body = await request.body()
        if body:
            _parse(body, "the body")


def _parse(text: str | bytes, what: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise HTTPException(422, f"{what} is no JSON: {constant} is no number")

    try:
        found = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"{what} is no JSON") from error
    try:
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise HTTPException(422, f"{what} holds a text that is no Unicode (half a surrogate pair)") from error
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"{what} holds a number that is too large") from error
    return found
