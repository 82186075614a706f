"""`/sfda/models`: versions, reports, before and after, activation; and the page `/sfda/` for all of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse

from monai_sfda.label.adaptation import before_after as pictures
from monai_sfda.label.adaptation.pages import comparison_page, sign_off_page
from monai_sfda.label.adaptation.serving import (
    NotFoundError,
    app_of,
    model_of,
    reason_in,
    version_of,
)
from monai_sfda.label.adaptation.signing_off import (
    activate,
    described,
    model_described,
    models_described,
    roll_back,
)
from monai_sfda.label.server.roles import User, require
from monai_sfda.label.values import flag

router = APIRouter(prefix="/sfda", tags=["Models"])
Looking = Annotated[User, Depends(require("user"))]
Approving = Annotated[User, Depends(require("approver"))]
Given = Annotated[dict[str, Any] | None, Body()]


@router.get("/", response_class=HTMLResponse, summary="Models, versions, jobs and sign-off, as a page")
def page(request: Request, user: Looking) -> HTMLResponse:
    """For people; needs nothing from the internet."""
    return HTMLResponse(sign_off_page(app_of(request), user))


@router.get("/models", summary="All models with their versions")
def models(request: Request, user: Looking) -> Any:
    """Active version, the one to roll back to, verdicts, who published what when."""
    app = app_of(request)
    return {"models": models_described(app.models), "activation": app.jobs.activation}


@router.get("/models/{name}/log", summary="Who changed what when")
def log(request: Request, user: Looking, name: str) -> Any:
    """The store's log of a model, oldest first."""
    found = model_of(app_of(request), name).store.log(name)
    return {"changes": list(found.changes), "damaged_lines": found.damaged}


@router.get("/models/{name}/versions/{number}", summary="One version")
def version(request: Request, user: Looking, name: str, number: int) -> Any:
    """Its manifest's public part."""
    app = app_of(request)
    return described(version_of(app, name, number), app.models[name].active().number)


@router.get("/models/{name}/versions/{number}/report", summary="The report of a version")
def report(request: Request, user: Looking, name: str, number: int) -> FileResponse:
    """Of an adaptation or a fine-tuning; a source model has none."""
    found = version_of(app_of(request), name, number).report
    if found is None:
        raise NotFoundError(f"version {number} has no report", remedy="it is a source model")
    return FileResponse(found, media_type="text/html")


@router.get("/models/{name}/versions/{number}/before_after", summary="A few studies before and after")
def before_after(request: Request, user: Looking, name: str, number: int) -> HTMLResponse:
    """A page with a picture a study; each is computed when it is first looked at."""
    app = app_of(request)
    version_of(app, name, number)
    return HTMLResponse(comparison_page(pictures.compare(app, name, number), name, user))


@router.get("/models/{name}/versions/{number}/before_after/{place}.png", summary="One of the pictures")
def before_after_picture(request: Request, user: Looking, name: str, number: int, place: int) -> FileResponse:
    """Slices of a study under both versions."""
    app = app_of(request)
    version_of(app, name, number)
    path, _ = pictures.picture(app, name, number, place)
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, no-store"})


@router.get("/models/{name}/versions/{number}/before_after/{place}", summary="Volumes of one of the studies")
def before_after_volumes(request: Request, user: Looking, name: str, number: int, place: int) -> Any:
    """In ml, under both versions, and whether the two segmentations are the same."""
    app = app_of(request)
    version_of(app, name, number)
    return pictures.picture(app, name, number, place)[1]


@router.post("/models/{name}/versions/{number}/activate", summary="Sign a version off: it becomes active")
def activate_version(request: Request, user: Approving, name: str, number: int, given: Given = None) -> Any:
    """Body: `reason`, and `force` for a version that was rejected. It serves the next request."""
    app = app_of(request)
    version_of(app, name, number)
    force = flag("force", (given or {}).get("force"))
    activate(app.models[name], number, user.name, force=force, reason=reason_in(given))
    return model_described(app.models[name])


@router.post("/models/{name}/rollback", summary="Go back to the version that was active before")
def rollback(request: Request, user: Approving, name: str, given: Given = None) -> Any:
    """Body: `reason`."""
    app = app_of(request)
    roll_back(model_of(app, name), user.name, reason_in(given))
    return model_described(app.models[name])
