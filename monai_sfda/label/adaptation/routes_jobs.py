"""`/sfda/jobs`: the jobs one by one, their reports and logs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import FileResponse, PlainTextResponse

from monai_sfda.label.adaptation.reasons import tail
from monai_sfda.label.adaptation.serving import NotFoundError, app_of, reason_in, trainer_of
from monai_sfda.label.adaptation.signing_off import publish_last_weights
from monai_sfda.label.server.roles import User, require

router = APIRouter(prefix="/sfda/jobs", tags=["Jobs"])
Looking = Annotated[User, Depends(require("user"))]
Adapting = Annotated[User, Depends(require("adapter"))]
Approving = Annotated[User, Depends(require("approver"))]
Administering = Annotated[User, Depends(require("admin"))]
Given = Annotated[dict[str, Any] | None, Body()]
_LOG_BYTES, _MOST_JOBS = 1 << 20, 200


@router.get("", summary="All jobs, the newest first")
def jobs(request: Request, user: Looking) -> Any:
    """As MONAI Label's tasks, with the record and the progress of each; the newest few hundred."""
    found = app_of(request).jobs
    return [found.status(job.id) for job in found.jobs()[: -_MOST_JOBS - 1 : -1]]


@router.post("", summary="Put a job into the queue")
def submit(request: Request, user: Adapting, given: Given = None) -> Any:
    """Body: `trainer` (its name, or a model's), and the options of its panel."""
    app = app_of(request)
    kind, model = trainer_of(app, str((given or {}).get("trainer") or ""))
    return app.jobs.status(app.jobs.submit(kind, model, given, user.name).id)


@router.post("/preview", summary="What a job would take, without starting it")
def preview(request: Request, user: Adapting, given: Given = None) -> Any:
    """Body as of a job; answers numbers of studies and subjects, what is left out and why, and limits."""
    app = app_of(request)
    kind, model = trainer_of(app, str((given or {}).get("trainer") or ""))
    return app.jobs.preview(kind, model, given)


@router.get("/{identifier}", summary="One job")
def job(request: Request, user: Looking, identifier: str) -> Any:
    """Its record, progress and links."""
    return app_of(request).jobs.status(identifier)


@router.post("/{identifier}/stop", summary="Stop a job")
def stop(request: Request, user: Adapting, identifier: str) -> Any:
    """One that waits leaves the queue; one that runs is ended with all it started."""
    found = app_of(request).jobs
    found.stop(identifier, by=user.name)
    return found.status(identifier)


@router.post("/{identifier}/resume", summary="Go on with a job that was stopped, interrupted or failed")
def resume(request: Request, user: Adapting, identifier: str) -> Any:
    """It goes on from its last checkpoint."""
    found = app_of(request).jobs
    return found.status(found.resume(identifier, user.name).id)


@router.get("/{identifier}/report", summary="The report of a finished job")
def report(request: Request, user: Looking, identifier: str) -> FileResponse:
    """One HTML file; it numbers the scans and names none."""
    found = app_of(request).jobs
    path = found.run_folder(identifier) / "report.html"
    if not path.is_file():
        raise NotFoundError("the job has no report", remedy="wait for its end; the record says why it failed")
    return FileResponse(path, media_type="text/html")


@router.post("/{identifier}/publish_last", summary="Publish the method's last weights against the guard")
def publish_last(request: Request, user: Approving, identifier: str, given: Given = None) -> Any:
    """Body: `reason`. For a run that the guard was unsure of or rejected, after a look at its report."""
    version = publish_last_weights(app_of(request).jobs, identifier, user.name, reason_in(given))
    return {"model": version.model, "version": version.number, "verdict": version.verdict}


@router.get("/{identifier}/log", summary="The end of a job's own log, which may name folders of the server")
def log(request: Request, user: Administering, identifier: str) -> PlainTextResponse:
    """For the administrator alone."""
    return PlainTextResponse(tail(app_of(request).jobs.log(identifier), _LOG_BYTES))


@router.delete("/{identifier}", summary="Remove a job that has ended")
def delete(request: Request, user: Administering, identifier: str) -> Any:
    """Its record, log and run folder; its version stays in the store."""
    app_of(request).jobs.delete(identifier)
    return {"deleted": identifier}
