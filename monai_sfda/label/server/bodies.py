"""How much a request may send, and how slowly."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from monai_sfda.label.server.answers import BusyError, RefusedError, TooLargeError
from monai_sfda.label.server.config import MEGABYTE, Limits

UPLOADS = frozenset({"/session/", "/infer/{}", "/datastore/", "/datastore/image", "/datastore/label"})
"""Paths (as in the table of roles) whose requests carry files."""
SLOWEST_BYTES_S, LONGEST_S = 100_000.0, 1800.0
STRANGERS_BYTES, STRANGERS_PAUSE_S = 16 * 1024, 5.0
"""Of a request that needs no login."""


class Uploads:
    """Room for bodies that carry files: so many at once, and only while the disk has space.

    Args:
        limits: of the server.
        folder: on the disk that takes the uploads.
    """

    def __init__(self, limits: Limits, folder: Path) -> None:
        self.limits = limits
        self.folder = folder
        self.receiving: Counter[str] = Counter()

    def enter(self, length: int, user: str) -> None:
        """Takes a place.

        Raises:
            BusyError: when there is none, the user has half of them, or too little disk for `length` bytes.
        """
        most = self.limits.uploads
        if self.receiving.total() >= most or self.receiving[user] >= max(1, most // 2):
            raise BusyError("too many uploads at once", remedy="try again in a while")
        if shutil.disk_usage(self.folder).free - length < self.limits.free_gb * 2**30:
            raise BusyError("the server's disk is nearly full", remedy="tell the server's administrator")
        self.receiving[user] += 1

    def leave(self, user: str) -> None:
        """Gives the place back."""
        self.receiving -= Counter({user: 1})


class LimitedBody:
    """A `receive` of ASGI that counts: raises where the body becomes too large or comes too slowly.

    Args:
        receive: of the server.
        most: bytes.
        pause_s: longest wait for the next part.
        leave: gives a place back that is held until the body is there; None for a body without files.
    """

    def __init__(
        self, receive: Receive, most: int, pause_s: float, leave: Callable[[], None] | None = None
    ) -> None:
        self._receive = receive
        self._most = most
        self._pause_s = pause_s
        self._leave = leave
        self._count = 0
        self._started = time.monotonic()
        self._whole = False

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            TooLargeError: when the body has more than its bytes.
            RefusedError: when the client sends too slowly.
        """
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._pause_s)
        except TimeoutError as error:
            raise self._too_slow() from error
        if message["type"] != "http.request":
            self.close()
            raise ClientDisconnect
        self._count += len(message.get("body", b""))
        if self._count > self._most:
            raise too_large(self._most)
        if not message.get("more_body", False):
            self.close()
        elif self._is_too_slow():
            raise self._too_slow()
        return message

    def close(self) -> None:
        """The body is there, or nobody waits for it any more."""
        self._whole = True
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _is_too_slow(self) -> bool:
        seconds = time.monotonic() - self._started
        return seconds > min(LONGEST_S, self._pause_s + self._count / SLOWEST_BYTES_S)

    def _too_slow(self) -> RefusedError:
        return SlowClientError("the request came too slowly", remedy="check the network and send it again")


class SlowClientError(RefusedError):
    """A body that was not sent in time."""

    http_status = 408


def length_of(headers: Headers) -> int:
    """The length that a request declares; 0 when it does not.

    Of a request without a body it means nothing: once it is logged in, MONAI Label's client sends the length
    of its last upload with every GET and DELETE.
    """
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def most_bytes(limits: Limits, path: str) -> int:
    """How long a body may be for a path of the table of roles."""
    return limits.upload_mb * MEGABYTE if path in UPLOADS else limits.body_kb * 1024


def too_large(most: int) -> TooLargeError:
    """The error for a body of more than `most` bytes."""
    allowed = f"{most // MEGABYTE} MB" if most >= MEGABYTE else f"{most // 1024} kB"
    return TooLargeError(
        f"the request is larger than {allowed}",
        remedy="send less at once, or ask the server's administrator for a higher limit",
    )
