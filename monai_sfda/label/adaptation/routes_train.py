"""`/train/`: what MONAI Label's clients start, watch and stop trainings by, in its own shapes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request

from monai_sfda.errors import SfdaError
from monai_sfda.label.adaptation.record import Kind, Status
from monai_sfda.label.adaptation.serving import BusyTrainingError, NotFoundError, app_of, trainer_of
from monai_sfda.label.server.roles import User, require
from monai_sfda.label.values import first, flag

router = APIRouter(prefix="/train", tags=["Train"])
Looking = Annotated[User, Depends(require("user"))]
Adapting = Annotated[User, Depends(require("adapter"))]
Options = Annotated[dict[str, Any] | None, Body()]


@router.get("/", summary="Status of the running or the last training")
def status(request: Request, user: Looking, all: str = "false", check_if_running: str = "false") -> Any:
    """The running or last job; with `all` a list of all; with `check_if_running` only one that runs."""
    jobs = app_of(request).jobs
    if flag("check_if_running", check_if_running):
        at_work = [job for job in jobs.running() if job.status is Status.RUNNING] or jobs.running()
        if not at_work:
            raise NotFoundError("no training is running", remedy="start one")
        return jobs.status(at_work[0].id)
    found = [jobs.status(job.id) for job in jobs.jobs()] if flag("all", all) else jobs.status()
    if not found:
        raise NotFoundError("there was no training yet", remedy="start one")
    return found


@router.post("/", summary="Start the adaptation (what OHIF's Update Model sends)")
def run(request: Request, user: Adapting, params: Options = None, run_sync: str = "false") -> Any:
    """Starts one adaptation: of the trainer or model named by `model`, else of the first model.

    OHIF sends the options of every trainer's panel at once. Starting them all, as the stock application does,
    would tune and adapt every model on one click, so the others are answered as not started. It waits its
    turn, as in MONAI Label; one that waits or runs already with the same options is refused (429), so that a
    second click starts no second adaptation. `run_sync` is accepted and passed over, here and below: the
    answer comes at once.
    """
    app, params = app_of(request), params or {}
    named = first(params.get("model"))
    kind, model = trainer_of(app, named) if isinstance(named, str) and named else (Kind.ADAPT, _first(app))
    chosen = f"{kind.value}_{model}"
    result: dict[str, Any] = {}
    for name in [f"{k.value}_{m}" for k in Kind for m in app.models]:
        if name == chosen:
            own = params.get(name)
            given = own if isinstance(own, dict) else params
            job = app.jobs.submit(kind, model, given, user.name, once=True)
            result[name] = {"result": app.jobs.status(job.id), "detail": None}
        else:
            result[name] = {"result": None, "detail": "not started: name it as 'model' to start it"}
    return result


@router.post("/{model}", summary="Start a trainer")
def run_model(
    request: Request,
    user: Adapting,
    model: str,
    params: Options = None,
    run_sync: str = "false",
    enqueue: str = "false",
) -> Any:
    """Starts a trainer by its name. While another runs, only with `enqueue`, else 429, as in MONAI Label."""
    app = app_of(request)
    kind, name = trainer_of(app, model)
    may_wait = flag("enqueue", enqueue)
    if app.jobs.running() and not may_wait:
        raise BusyTrainingError("a training is running", remedy="wait for it, stop it, or send enqueue=true")
    own = (params or {}).get(f"{kind.value}_{name}")
    job = app.jobs.submit(kind, name, own if isinstance(own, dict) else params, user.name)
    return app.jobs.status(job.id)


@router.delete("/", summary="Stop the running training")
def stop(request: Request, user: Adapting) -> Any:
    """Ends the job that runs with all it started, or else the next that waits; null when there is none."""
    jobs = app_of(request).jobs
    there = jobs.running()
    job = jobs.stop(there[0].id, by=user.name) if there else None
    return None if job is None else jobs.status(job.id)


def _first(app: Any) -> str:
    for name in app.models:
        return str(name)
    raise SfdaError("no model is served", remedy="install one: give --conf bundles or publish into the store")
