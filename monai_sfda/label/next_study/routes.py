"""HTTP: `/scoring/...` as MONAI Label answers it, `/sfda/scores`, `/sfda/drift` and its page.

All endpoints are plain functions, which the server runs in threads. Errors of the package become answers in
the server's application.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Query
from fastapi.responses import HTMLResponse

from monai_sfda.label.next_study.drift import drift_of_model, scores_of_model
from monai_sfda.label.next_study.drift_page import drift_page
from monai_sfda.label.next_study.options import chosen_model
from monai_sfda.label.next_study.runs import Run, ScoringRuns, runs_of
from monai_sfda.label.server.roles import User, require
from monai_sfda.label.stock import prepare
from monai_sfda.label.values import flag

router = APIRouter(tags=["Scoring"], responses={404: {"description": "Not found"}})

_Looker = Annotated[User, Depends(require("user"))]
_Scorer = Annotated[User, Depends(require("adapter"))]
_Model = Annotated[str | None, Query(max_length=64, description="of several; all of them by default")]
_Params = Annotated[dict[str, Any] | None, Body()]
_SYNC_S = 24 * 3600.0


def the_app() -> Any:
    """The app that the server serves; a dependency of its own, so that it can be another."""
    prepare()
    from monailabel.interfaces.utils.app import app_instance

    return app_instance()


_App = Annotated[Any, Depends(the_app)]


@router.get("/sfda/drift", summary="Whether the studies drift away from what each model knows")
def get_drift(
    app: _App,
    user: _Looker,
    model: _Model = None,
    order: Literal["acquired", "arrived"] | None = None,
    since: Literal["activation", "ever"] = "activation",
) -> dict[str, Any]:
    """Of each model, by name; numbers of studies only."""
    return {
        name: drift_of_model(app.models[name], app.datastore(), order=order, since=since)
        for name in _models(app, model)
    }


@router.get("/sfda/drift/page", summary="The same as a page", response_class=HTMLResponse)
def get_drift_page(
    app: _App,
    user: _Looker,
    model: _Model = None,
    order: Literal["acquired", "arrived"] | None = None,
    since: Literal["activation", "ever"] = "activation",
) -> HTMLResponse:
    """One file that needs nothing but itself."""
    found = get_drift(app, user, model, order, since)
    return HTMLResponse(drift_page(list(found.values())))


@router.get("/sfda/scores", summary="Scores of the studies by the active version of each model")
def get_scores(app: _App, user: _Looker, model: _Model = None) -> dict[str, Any]:
    """Of each model, by name, and the run that scores now; numbers of studies only."""
    run = runs_of(app).running()
    return {
        "models": {name: scores_of_model(app.models[name], app.datastore()) for name in _models(app, model)},
        "running": None if run is None else run.to_json(),
    }


@router.get("/scoring/", summary="Status of the run that scores, or of the last one")
def get_status(app: _App, user: _Looker, all: bool = False, check_if_running: bool = False) -> Any:
    """One run, or the last ones with `all`.

    Raises:
        HTTPException: 404 when there is none.
    """
    runs = runs_of(app)
    if check_if_running:
        running = runs.running()
        if running is None:
            raise HTTPException(404, "no scoring runs now")
        return running.to_json()
    there = runs.all()
    if not there:
        raise HTTPException(404, "no scoring was started since the server is up")
    return [run.to_json() for run in there] if all else (runs.running() or there[-1]).to_json()


@router.post("/scoring/", summary="Start all scoring methods, one after the other")
def start_all(app: _App, user: _Scorer, params: _Params = None, run_sync: bool = False) -> dict[str, Any]:
    """Each method's options may stand under its name."""
    runs = runs_of(app)
    started = {}
    for method in runs.methods():
        options = (params or {}).get(method)
        started[method] = runs.submit(method, options if isinstance(options, dict) else params, user.name)
    return {
        method: {"result": _answer(runs, run, run_sync), "detail": None} for method, run in started.items()
    }


@router.post("/scoring/{method}", summary="Start a scoring method")
def start_one(
    app: _App, user: _Scorer, method: str, params: _Params = None, run_sync: bool = False
) -> dict[str, Any]:
    """The run, or what it has done with `run_sync`.

    Raises:
        HTTPException: 429 when a run scores or waits already.
    """
    runs = runs_of(app)
    if runs.is_busy():
        raise HTTPException(429, "a scoring runs already: wait for its end, or stop it")
    wait = flag("run_sync", (params or {}).get("run_sync")) or run_sync
    return _answer(runs, runs.submit(method, params, user.name), wait)


@router.delete("/scoring/", summary="Stop scoring")
def stop(app: _App, user: _Scorer) -> dict[str, Any] | None:
    """The run that was told to end; nothing when there is none. What was scored stays."""
    run = runs_of(app).stop()
    if run is None:
        return None
    run.ended.wait(10.0)
    return run.to_json()


def _models(app: Any, model: str | None) -> list[str]:
    return list(app.models) if model is None else [chosen_model(app.models, model)]


def _answer(runs: ScoringRuns, run: Run, wait: bool) -> dict[str, Any]:
    if wait:
        run.ended.wait(_SYNC_S)
        return run.to_json()["result"] if run.status == "DONE" else run.to_json()
    return run.to_json()
