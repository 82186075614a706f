"""`/health`: whether the server lives and is ready, for whoever watches it; details for the administrator."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from monai_sfda.label.server.config import ServerSettings
from monai_sfda.label.server.inference import Turns
from monai_sfda.label.server.stock_app import app_of

_KEPT_S, _PATIENCE_S = 5.0, 8.0


class Health:
    """Looks at the parts, at most every few seconds, however often it is asked.

    Args:
        settings: of the server.
        turns: of the inferences.
    """

    def __init__(self, settings: ServerSettings, turns: Turns) -> None:
        self.settings = settings
        self.turns = turns
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="health")
        self._lock = asyncio.Lock()
        self._looked_at = -_KEPT_S
        self._found: dict[str, Any] = {}

    def close(self) -> None:
        """Takes no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> dict[str, Any]:
        """Each check's `ok` with numbers."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= _KEPT_S:
                loop = asyncio.get_running_loop()
                checks = {"store": self._store, "datastore": self._datastore, "disk": self._disk}
                self._found = {name: await self._timed(loop, check) for name, check in checks.items()} | {
                    "queue": self._queue()
                }
                self._looked_at = time.monotonic()
            return self._found

    async def _timed(
        self, loop: asyncio.AbstractEventLoop, check: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._threads, check), _PATIENCE_S)
        except Exception as error:
            return {"ok": False, "error": type(error).__name__}

    def _store(self) -> dict[str, Any]:
        app = app_of()
        readable = os.access(app.models.store.root, os.R_OK | os.X_OK)
        return {"ok": readable and len(app.models) > 0, "models": len(app.models)}

    def _datastore(self) -> dict[str, Any]:
        store = app_of().datastore()
        count = len(store.list_images())
        problem = getattr(store, "problem", None)
        return {"ok": not (callable(problem) and problem()), "images": count}

    def _disk(self) -> dict[str, Any]:
        free = shutil.disk_usage(self.settings.home).free / 2**30
        return {"ok": free >= self.settings.limits.free_gb, "free_gb": round(free, 1)}

    def _queue(self) -> dict[str, Any]:
        return {
            "ok": self.turns.taken < self.turns.most,
            "in_hand": self.turns.taken,
            "most": self.turns.most,
        }


def health_router(health: Health) -> APIRouter:
    """The endpoints of health."""
    router = APIRouter(prefix="/health", tags=["Health"])

    @router.get("/live", summary="Whether the process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("", summary="Whether the server can do its work")
    async def ready() -> JSONResponse:
        found = await health.look()
        is_ready = all(found[name]["ok"] for name in ("store", "datastore", "disk"))
        return JSONResponse({"status": "ready" if is_ready else "not ready"}, 200 if is_ready else 503)

    @router.get("/details", summary="What each part says")
    async def details() -> dict[str, Any]:
        return await health.look()

    return router
