"""Methods of adaptation, one file a published method. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_sfda.errors import SettingError, nearest
from monai_sfda.methods.adabn import AdaBN
from monai_sfda.methods.adaent import AdaEnt
from monai_sfda.methods.base import Method, MethodSettings
from monai_sfda.methods.mas3 import MAS3
from monai_sfda.methods.mean_teacher import MeanTeacher
from monai_sfda.methods.none import NoAdaptation
from monai_sfda.methods.osuda import OSUDA
from monai_sfda.methods.prior_matching import PriorMatching
from monai_sfda.methods.sfs import SFS
from monai_sfda.methods.tent import Tent

METHODS: dict[str, type[Method[Any]]] = {
    method.name: method
    for method in (NoAdaptation, AdaBN, Tent, SFS, MAS3, OSUDA, AdaEnt, MeanTeacher, PriorMatching)
}


def create_method(name: str, settings: Mapping[str, Any] | None = None) -> Method[Any]:
    """The method of that name with those settings.

    Raises:
        SettingError: for an unknown name or setting; the message lists the nearest.
    """
    if name not in METHODS:
        raise SettingError(
            f"method '{name}' is unknown", remedy=f"use one of {', '.join(nearest(name, METHODS))}"
        )
    return METHODS[name](settings)


__all__ = [
    "MAS3",
    "METHODS",
    "OSUDA",
    "SFS",
    "AdaBN",
    "AdaEnt",
    "MeanTeacher",
    "Method",
    "MethodSettings",
    "NoAdaptation",
    "PriorMatching",
    "Tent",
    "create_method",
]
