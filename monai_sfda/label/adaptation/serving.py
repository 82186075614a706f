"""What the routes share: the app, the trainer that a name means, small checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from monai_sfda.errors import SettingError, SfdaError, nearest
from monai_sfda.label.adaptation.record import Kind

MOST_REASON = 500


class NotFoundError(SfdaError):
    """What was asked for is not there."""

    http_status = 404


class BusyTrainingError(SfdaError):
    """A training is running, and no other was to be queued."""

    http_status = 429


def app_of(request: Request) -> Any:
    """The MONAI Label app: the one that was given to this server, else MONAI Label's own instance."""
    given = getattr(request.app.state, "sfda_app", None)
    if given is not None:
        return given
    from monai_sfda.label.stock import prepare

    prepare()
    from monailabel.interfaces.utils.app import app_instance

    return app_instance()


def trainer_of(app: Any, name: str) -> tuple[Kind, str]:
    """Kind and model of a trainer's name; the name of a model alone means its adaptation.

    Raises:
        NotFoundError: for any other.
    """
    known = {f"{kind.value}_{model}": (kind, model) for kind in Kind for model in app.models}
    known |= {model: (Kind.ADAPT, model) for model in app.models if model not in known}
    if name not in known:
        near = ", ".join(nearest(name[:64], known)[:6]) or "none: no model is served"
        raise NotFoundError("there is no such trainer", remedy=f"use one of {near}")
    return known[name]


def model_of(app: Any, name: str) -> Any:
    """A model that is served.

    Raises:
        NotFoundError: when there is none of that name.
    """
    if name not in app.models:
        raise NotFoundError("no such model is served", remedy=f"there are: {', '.join(app.models) or 'none'}")
    return app.models[name]


def version_of(app: Any, name: str, number: int) -> Any:
    """A version of a model that is served.

    Raises:
        NotFoundError: when there is none.
    """
    installed = model_of(app, name)
    if number not in (there := [v.number for v in installed.versions()]):
        raise NotFoundError(
            f"'{name}' has no version {number}", remedy=f"there are: {', '.join(map(str, there))}"
        )
    return installed.version(number)


def reason_in(given: Mapping[str, Any] | None) -> str | None:
    """The reason that somebody typed for the log; None for none.

    Raises:
        SettingError: for one that is no text of one line, or too long.
    """
    value = (given or {}).get("reason")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MOST_REASON or not value.isprintable():
        raise SettingError(
            "the reason cannot be kept", remedy=f"write one line, at most {MOST_REASON} letters"
        )
    return value.strip() or None
