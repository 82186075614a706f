"""The application as a whole: MONAI Label's endpoints and ours, behind the gate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from monai_sfda import __version__
from monai_sfda.label.server import datastore, stock_app
from monai_sfda.label.server.answers import install_handlers
from monai_sfda.label.server.batch import Batches, batch_router
from monai_sfda.label.server.config import ServerSettings
from monai_sfda.label.server.gate import Gate
from monai_sfda.label.server.health import Health, health_router
from monai_sfda.label.server.inference import Turns, inference_router
from monai_sfda.label.server.login import login_router
from monai_sfda.label.server.logs import event
from monai_sfda.label.server.proxy import Pacs, proxy_router
from monai_sfda.label.server.sessions import BoundedSessions, sessions_router
from monai_sfda.label.server.strict_json import refuse_loose_json
from monai_sfda.label.server.tokens import Tokens
from monai_sfda.label.server.users import UserFile
from monai_sfda.label.server.viewer import pages_router
from monai_sfda.label.stock import prepare

prepare()

from monailabel.config import settings as stock_settings  # noqa: E402
from monailabel.interfaces.utils.app import apps  # noqa: E402

_CLEAN_EVERY_S = 300.0


class Server:
    """Everything that one server is made of; `asgi` is what a web server runs.

    Args:
        settings: checked already.
        log_file: of this process, for `/logs`.

    Raises:
        SfdaError: when the store, the studies or the users cannot be used.
    """

    def __init__(self, settings: ServerSettings, *, log_file: Path | None = None) -> None:
        self.settings = settings
        users = UserFile(settings.users) if settings.users is not None else None
        tokens = None if users is None else Tokens(users, hours=settings.login_hours)
        self.pacs = Pacs(settings) if settings.is_pacs else None
        self.app = load_app(settings)
        self.turns = Turns(settings.limits.inferences)
        self.health = Health(settings, self.turns)
        self.batches = Batches()
        self.api = self._make_api(tokens, log_file)
        gate = Gate(self.api, settings=settings, tokens=tokens)
        self.asgi: ASGIApp = gate
        if settings.origins:
            self.asgi = CORSMiddleware(
                gate,
                allow_origins=list(settings.origins),
                allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["X-Request-ID", "Content-Disposition"],
            )

    def close(self) -> None:
        """Ends jobs, scoring and batches; may be called again."""
        patience = self.settings.limits.shutdown_s
        self.turns.close()
        self.health.close()
        for name, end in (
            ("jobs", lambda: self.app.jobs.close(grace=patience)),
            ("batches", lambda: self.batches.close(patience / 4)),
            ("app", lambda: _close_app(self.app, patience / 2)),
        ):
            try:
                end()
            except Exception as error:
                event("close_failed", part=name, error=type(error).__name__)

    def _make_api(self, tokens: Tokens | None, log_file: Path | None) -> FastAPI:
        from monai_sfda.label.adaptation import routes as adaptation_routes
        from monai_sfda.label.next_study import routes as next_study_routes
        from monai_sfda.label.segmentation import routes as segmentation_routes

        settings = self.settings
        api = FastAPI(
            title="monai_sfda",
            description="Research software: not for diagnosis.",
            version=__version__,
            openapi_url="/openapi.json",
            docs_url=None,
            redoc_url=None,
            lifespan=self._lifespan,
            dependencies=[Depends(refuse_loose_json)],
        )
        install_handlers(api)
        for router in (
            health_router(self.health),
            login_router(tokens, is_tls=settings.is_tls),
            pages_router(settings, log_file=log_file),
            inference_router(self.turns),
            sessions_router(),
            datastore.router,
            batch_router(self.batches),
            proxy_router(self.pacs),
            next_study_routes.router,
            adaptation_routes.router,
            segmentation_routes.router,
            stock_app.router,
        ):
            api.include_router(router)
        return api

    @contextlib.asynccontextmanager
    async def _lifespan(self, api: FastAPI) -> AsyncIterator[None]:
        self.app.server_mode(True)
        # As many threads as requests: those that wait for a silent PACS never keep a login waiting.
        anyio.to_thread.current_default_thread_limiter().total_tokens = self.settings.limits.requests
        cleaner = asyncio.create_task(self._clean())
        event(
            "started", version=__version__, models=len(self.app.models), users=self.settings.users is not None
        )
        try:
            yield
        finally:
            cleaner.cancel()
            if self.pacs is not None:
                await self.pacs.close()
            await asyncio.get_running_loop().run_in_executor(None, self.close)
            event("stopped")

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(_CLEAN_EVERY_S)
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.app.sessions().remove_expired)
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.app.datastore().refresh)


def load_app(settings: ServerSettings) -> Any:
    """MONAI Label's application over the studies, as the one of this process."""
    from monai_sfda.label.app import SfdaApp

    settings.home.mkdir(parents=True, exist_ok=True)
    home = str(settings.home.resolve())
    studies = settings.studies if settings.is_pacs else str(Path(settings.studies).resolve())
    stock_settings.MONAI_LABEL_APP_DIR = home
    stock_settings.MONAI_LABEL_STUDIES = studies
    stock_settings.MONAI_LABEL_APP_CONF = dict(settings.conf)
    stock_settings.MONAI_LABEL_SERVER_PORT = settings.port
    stock_settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
    stock_settings.MONAI_LABEL_SESSION_PATH = str(settings.home / "sessions")
    app = SfdaApp(app_dir=home, studies=studies, conf=dict(settings.conf), credentials=settings.credentials)
    sessions = BoundedSessions(settings.home / "sessions", settings.limits)
    sessions.remove_expired()
    app._sessions = sessions
    apps.clear()
    apps[f"{home}{studies}"] = app
    return app


def _close_app(app: Any, patience: float) -> None:
    end = getattr(app, "close", None)
    if callable(end):
        end()
        return
    from monai_sfda.label.next_study import close

    close(app, patience=patience)
