"""A mend for MONAI Label's client, which 3D Slicer uses.

Once it is logged in, the client sends the content type of its last multipart request with the next one too,
and with it the boundary of a body that is not there: after a first segmentation it can upload no more scans.
A multipart body names its own boundary in its first line (RFC 2046, 5.1.1), which is taken instead.
"""

from __future__ import annotations

from starlette.types import Message, Receive, Scope

_LONGEST = 70
_PATHS = frozenset({"/session/", "/session"})


async def with_true_boundary(scope: Scope, receive: Receive) -> Receive:
    """The `receive` to go on with; the scope's content type names the boundary that the body has.

    Args:
        scope: of a request; others than uploads of sessions are left as they are.
        receive: of its body.
    """
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"")
    if scope["method"] != "PUT" or scope["path"] not in _PATHS or not kind.startswith(b"multipart/form-data"):
        return receive
    first = await receive()
    line = bytes(first.get("body", b"")[: _LONGEST + 4]).partition(b"\r\n")[0]
    told = kind.partition(b"boundary=")[2].strip(b'"')
    if line.startswith(b"--") and line[2:] not in (b"", told) and len(line) <= _LONGEST + 2:
        headers[b"content-type"] = b'multipart/form-data; boundary="' + line[2:].replace(b'"', b"") + b'"'
        scope["headers"] = list(headers.items())
    waiting = [first]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
