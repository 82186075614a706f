"""What clients may set here, typed and bounded; keys of their own are left aside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from monai_sfda.errors import SettingError, nearest
from monai_sfda.label.values import Flag, Options


class StrategyOptions(Options):
    """Of a strategy.

    Attributes:
        model: of several; None for the first.
        seed: of the lot between equals; None for another one every time.
    """

    model: Annotated[str, Field(max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None


class ScoringOptions(Options):
    """Of a scoring method.

    Attributes:
        studies: which to score.
        rescore: also those that the active version has scored.
        most: so many studies at most.
    """

    studies: Literal["all", "unlabelled"] = "all"
    rescore: Flag = False
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000_000


def chosen_model(models: Iterable[str], name: str | None) -> str:
    """The model asked for; the first one where none is.

    Raises:
        SettingError: when there is no such model, or none at all.
    """
    there = list(models)
    if not there:
        raise SettingError("no model is installed", remedy="start the app with --bundles or --models")
    if name is None:
        return there[0]
    if name not in there:
        raise SettingError(
            f"no model '{name}' is installed", remedy=f"use {' or '.join(nearest(name, there))}"
        )
    return name
