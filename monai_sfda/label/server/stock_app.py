"""MONAI Label's application object in this process, and its endpoints as they are, but run in threads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from monai_sfda.label.server.answers import NotThereError


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


def in_threads(routers: Iterable[APIRouter]) -> APIRouter:
    """MONAI Label's endpoints, each in a thread.

    They are written as coroutines that never wait, so that one of them would hold up the whole server for as
    long as it works.
    """
    made = APIRouter()
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                made.add_api_route(
                    route.path,
                    _threaded(route.endpoint),
                    methods=sorted(route.methods or ()),
                    summary=route.summary,
                    tags=list(route.tags),
                    include_in_schema=route.include_in_schema,
                    deprecated=route.deprecated,
                )
    return made


def _threaded(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function with an endpoint's signature; FastAPI runs plain functions in threads."""
    if not inspect.iscoroutinefunction(endpoint):
        return endpoint

    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = endpoint(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        coroutine.close()
        raise RuntimeError(f"{endpoint.__name__} waits for something")

    functools.update_wrapper(run, endpoint)
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = inspect.signature(endpoint, eval_str=True)  # type: ignore[attr-defined]
    return run
