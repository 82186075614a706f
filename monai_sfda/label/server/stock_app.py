"""MONAI Label's application object in this process, and those of its endpoints that need a thread alone.

MONAI Label writes its endpoints as coroutines that never wait: each holds up the whole server for as long as
it works. Here they are plain functions, which FastAPI runs in threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from monai_sfda.label.server.answers import NotThereError
from monai_sfda.label.server.roles import User, current_user

router = APIRouter()


def app_of() -> Any:
    """The application (`SfdaApp`) that this server serves."""
    from monailabel.interfaces.utils.app import app_instance

    return app_instance()


def known_image(app: Any, identifier: str) -> str:
    """An id of the datastore; nothing else names a scan, no path for one.

    Raises:
        NotThereError: when the datastore does not know it.
    """
    store = app.datastore()
    known = store.known(identifier) if hasattr(store, "known") else identifier in store.list_images()
    if not known:
        raise NotThereError(
            "there is no such image in the datastore", remedy="ask /datastore/?output=all for its images"
        )
    return identifier


def media_type(path: Path) -> str:
    """The media type that MONAI Label gives a file of that name."""
    from monailabel.utils.others.generic import get_mime_type

    return str(get_mime_type(str(path)))


@router.get("/info/", tags=["App"], summary="What the app offers")
def info() -> Any:
    return app_of().info()


@router.post("/activelearning/{strategy}", tags=["ActiveLearning"], summary="Which study comes next")
def next_sample(
    strategy: str,
    user: Annotated[User, Depends(current_user)],
    params: Annotated[dict[str, Any] | None, Body()] = None,
) -> Any:
    """The study that a strategy chooses, noted as given to the client."""
    from monailabel.endpoints.activelearning import sample

    if strategy not in app_of()._strategies:
        raise NotThereError(f"there is no strategy '{strategy[:80]}'", remedy="ask /info/ for the strategies")
    return sample(strategy, {**(params or {}), "strategy": strategy}, user.name)
