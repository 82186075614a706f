"""OHIF, the server's first page, its endpoints as a page, and its logs."""

from __future__ import annotations

import shutil
import subprocess
from collections import deque
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from monai_sfda.label.server.access import RULES, rule_for
from monai_sfda.label.server.answers import NotThereError
from monai_sfda.label.server.config import ServerSettings
from monai_sfda.label.server.pages import endpoints_page, first_page
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.server.stock_app import app_of, media_type

_HASHED = (".js", ".css", ".wasm", ".png", ".svg")


def static_folder() -> Path:
    """MONAI Label's folder of OHIF and its icon."""
    return Path(str(files("monailabel"))) / "endpoints" / "static"


def pages_router(settings: ServerSettings, *, log_file: Path | None) -> APIRouter:
    """Pages and logs.

    Args:
        settings: of the server.
        log_file: of this process; None: there is none.
    """
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    def first(user: Annotated[User, Depends(current_user)]) -> HTMLResponse:
        """What is served, with links: works without the internet."""
        app = app_of()
        models = {name: task.description for name, task in app._infers.items() if task.is_valid()}
        name = user.name if settings.users is not None else None
        page = first_page({"name": app.name, "models": models}, name, has_viewer=settings.is_pacs)
        return HTMLResponse(page)

    @router.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(endpoints_page(_endpoints(request.app)))

    @router.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(static_folder() / "favicon.ico", media_type="image/x-icon")

    @router.get("/ohif/{path:path}", include_in_schema=False)
    def ohif(path: str) -> FileResponse:
        """The files of OHIF; every other path is one of its pages."""
        root = static_folder() / "ohif"
        wanted = (root / path).resolve()
        is_there = wanted.is_file() and wanted.is_relative_to(root.resolve())
        file = wanted if is_there else root / "index.html"
        kept = "private, max-age=3600" if file.suffix in _HASHED else "no-cache"
        return FileResponse(file, media_type=media_type(file), headers={"Cache-Control": kept})

    @router.get("/logs/", tags=["Others"], summary="The server's log")
    def logs(
        lines: Annotated[int, Query(le=100_000)] = 300,
        html: bool = True,
        text: bool = False,
        refresh: int = 0,
    ) -> Response:
        """The last lines of the server's log, for administrators."""
        if log_file is None or not log_file.is_file():
            raise NotThereError("there is no log", remedy="look at the server's standard error stream")
        if lines <= 0:
            return FileResponse(log_file, media_type="text/plain")
        with log_file.open(encoding="utf-8") as stream:
            last = "".join(deque(stream, lines))
        if not html or text:
            return PlainTextResponse(last)
        again = f'<meta http-equiv="refresh" content="{max(refresh, 3)}">' if refresh > 0 else ""
        return HTMLResponse(
            f"<!doctype html><html><head>{again}</head><body><pre>{escape(last)}</pre></body>"
        )

    @router.get("/logs/gpu", tags=["Others"], summary="The server's GPUs")
    def gpu() -> PlainTextResponse:
        """What `nvidia-smi` says; 404 where there is no GPU."""
        tool = shutil.which("nvidia-smi")
        if tool is None:
            raise NotThereError("this server has no GPU", remedy="it computes on its processor")
        done = subprocess.run([tool], capture_output=True, text=True, timeout=20, check=False)
        return PlainTextResponse(done.stdout)

    return router


def _endpoints(app: FastAPI) -> list[tuple[str, str, str, str]]:
    found: list[tuple[str, str, str, str]] = []
    schema: dict[str, Any] = app.openapi()
    for path, methods in schema.get("paths", {}).items():
        for method, told in methods.items():
            rule = rule_for(method.upper(), path.replace("{", "").replace("}", ""), RULES)
            if rule is not None:
                found.append((method.upper(), path, rule.role or "-", told.get("summary", "")))
    return found
