"""`/proxy/dicom`: what a viewer reads of the PACS, and nothing else of the network.

Only reading (QIDO-RS and WADO-RS of DICOM PS3.18), only paths of these services, only of the configured PACS.
The PACS's password stays here; its headers and errors do too.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.background import BackgroundTask

from monai_sfda.errors import DataError
from monai_sfda.label.server.answers import BusyError, NotThereError, RefusedError
from monai_sfda.label.server.config import MEGABYTE, ServerSettings
from monai_sfda.label.studies.errors import PacsError
from monai_sfda.label.studies.open import Credentials

_UID = r"[0-9]+(?:\.[0-9]+)*"
_PIXELS = r"(?:/(?:metadata|rendered|thumbnail|pixeldata|bulkdata(?:/[A-Za-z0-9./_-]+)?))?"
_PATHS = re.compile(
    rf"studies(?:/{_UID}(?:/series(?:/{_UID}(?:/instances(?:/{_UID}(?:/frames/[0-9,]+)?)?)?)?|/instances)?)?{_PIXELS}"
    rf"|series|instances"
)
_ASKED = ("accept", "accept-encoding", "range", "if-none-match")
_TOLD = ("content-type", "content-length", "content-encoding", "content-range", "etag")
_LONGEST_QUERY = 4096
_CALLS_PAUSE_S = 15.0


class PacsSilentError(PacsError):
    """The PACS does not answer in time."""

    http_status = 504


class Pacs:
    """The connection of viewers to the PACS.

    Args:
        settings: of the server.
        transport: for the connection; None: the network.
    """

    def __init__(
        self, settings: ServerSettings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.base = settings.studies.rstrip("/")
        self.limits = settings.limits
        given = settings.credentials or Credentials()
        headers = {"Authorization": f"Bearer {given.token}"} if given.token else {}
        verify: ssl.SSLContext | bool = True
        if given.ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=str(given.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise DataError(
                    "the certificates for the PACS cannot be read",
                    remedy="give a PEM file of the site's authority",
                    path=given.ca_file.name,
                ) from error
        self._client = httpx.AsyncClient(
            auth=(given.user, given.password) if given.user else None,
            headers=headers,
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(self.limits.proxy_s, connect=10.0, pool=_CALLS_PAUSE_S),
            limits=httpx.Limits(max_connections=self.limits.proxy_calls),
            transport=transport,
        )

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()

    async def read(self, path: str, request: Request) -> Response:
        """The PACS's answer to a viewer.

        Raises:
            RefusedError: for a path or query that is not read here.
            NotThereError: when the PACS has no such thing.
            PacsError: when it fails.
            BusyError: when too many calls are under way.
        """
        query = request.url.query
        if not _PATHS.fullmatch(path) or len(query) > _LONGEST_QUERY or ".." in path:
            raise RefusedError(
                "this is not read from the PACS", remedy="ask for studies, series, instances or their content"
            )
        asked = {name: request.headers[name] for name in _ASKED if name in request.headers}
        address = httpx.URL(f"{self.base}/{path}", query=query.encode("ascii", "ignore") or None)
        try:
            reply = await self._client.send(
                self._client.build_request("GET", address, headers=asked), stream=True
            )
        except httpx.PoolTimeout as error:
            raise BusyError("too many calls to the PACS at once", remedy="try again in a while") from error
        except httpx.TimeoutException as error:
            raise PacsSilentError("the PACS does not answer in time", remedy=_TELL) from error
        except httpx.HTTPError as error:
            raise PacsError("the PACS cannot be reached", remedy=_TELL) from error
        return await self._pass_on(reply)

    async def _pass_on(self, reply: httpx.Response) -> Response:
        status = reply.status_code
        if status not in (200, 204, 206, 304):
            await reply.aclose()
            if status == 404:
                raise NotThereError("the PACS has no such thing", remedy="look at the study list again")
            said = "refuses the server's login" if status in (401, 403) else f"answers with status {status}"
            raise PacsError(f"the PACS {said}", remedy=_TELL)
        if int(reply.headers.get("content-length") or 0) > self.limits.proxy_mb * MEGABYTE:
            await reply.aclose()
            raise PacsError("the PACS sends too much at once", remedy=_TELL)
        headers = {name: reply.headers[name] for name in _TOLD if name in reply.headers}
        headers["Cache-Control"] = "private, no-cache"
        headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return StreamingResponse(
            self._bounded(reply), status, headers, background=BackgroundTask(reply.aclose)
        )

    async def _bounded(self, reply: httpx.Response) -> AsyncIterator[bytes]:
        left = self.limits.proxy_mb * MEGABYTE
        try:
            async for block in reply.aiter_raw():
                left -= len(block)
                if left < 0:
                    raise PacsError("the PACS sends too much", remedy=_TELL)
                yield block
        finally:
            await reply.aclose()


_TELL = "tell the administrator of the server or of the PACS"


def proxy_router(pacs: Pacs | None) -> APIRouter:
    """The endpoint for viewers.

    Args:
        pacs: None where the studies are in a folder.
    """
    router = APIRouter(prefix="/proxy/dicom", tags=["PACS"])

    @router.get("/{path:path}", include_in_schema=False)
    async def read(path: str, request: Request) -> Response:
        """A reading request of the viewer, passed on to the PACS; see `Pacs`."""
        if pacs is None:
            raise NotThereError(
                "the studies of this server are in a folder", remedy="use 3D Slicer, or serve a PACS"
            )
        service, _, rest = path.partition("/")
        return await pacs.read(rest if service in ("wado", "qido") else path, request)

    return router
