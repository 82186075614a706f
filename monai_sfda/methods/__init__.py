"""Methods of adaptation, one file a published method. A new one is a file and a line here, or a package of
its own: see `outside`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monai_sfda.errors import SettingError, nearest
from monai_sfda.methods.adabn import AdaBN
from monai_sfda.methods.adaent import AdaEnt
from monai_sfda.methods.adasource import AdaSource
from monai_sfda.methods.base import AdamSettings, Method, MethodSettings, StepSettings
from monai_sfda.methods.mas3 import MAS3
from monai_sfda.methods.mean_teacher import MeanTeacher
from monai_sfda.methods.none import NoAdaptation
from monai_sfda.methods.osuda import OSUDA
from monai_sfda.methods.outside import installed_methods, load_dotted, load_entry_point, origin
from monai_sfda.methods.prior_matching import PriorMatching
from monai_sfda.methods.sfs import SFS
from monai_sfda.methods.tent import Tent

METHODS: dict[str, type[Method[Any]]] = {
    method.name: method
    for method in (
        *(NoAdaptation, AdaBN, Tent, SFS, MAS3, OSUDA, AdaEnt, MeanTeacher),
        *(AdaSource, PriorMatching),  # with the source's scans: uda.json
    )
}


# Words that are known, and what to do instead of giving them as a method.
NOT_THERE = {
    "auto": "the recommended setting is not in this version: use adabn, osuda or mean_teacher",
    "supervised": "training on the target's labels is no adaptation: run train.json with --domain target, or "
    "see it in monai-sfda benchmark",
}


def find_method(name: str, also: Iterable[str] = ()) -> type[Method[Any]]:
    """The class of a method: one of ours, one that an installed package offers, or `package.module:Class`.

    Args:
        name: as given to `--method`.
        also: words that the caller knows, for the names that an error lists.

    Raises:
        SettingError: for an unknown name, with the nearest ones; for a method of another package that cannot
            be imported, is no method, or has the name of another.
    """
    installed = installed_methods()
    if name in installed:
        return load_entry_point(installed[name], METHODS)
    if name in METHODS:
        return METHODS[name]
    if ":" in name:
        return load_dotted(name, METHODS)
    if name in NOT_THERE:
        raise SettingError(f"method '{name}' cannot be run", remedy=NOT_THERE[name])
    near = nearest(name, (*METHODS, *installed, *also))
    raise SettingError(f"method '{name}' is unknown", remedy=f"use one of {', '.join(near)}")


def create_method(name: str, settings: Mapping[str, Any] | None = None) -> Method[Any]:
    """The method of that name with those settings.

    Raises:
        SettingError: see `find_method`; for an unknown setting, with the nearest ones.
    """
    return find_method(name)(settings)


__all__ = [
    "MAS3",
    "METHODS",
    "OSUDA",
    "SFS",
    "AdaBN",
    "AdaEnt",
    "AdaSource",
    "AdamSettings",
    "MeanTeacher",
    "Method",
    "MethodSettings",
    "NoAdaptation",
    "PriorMatching",
    "StepSettings",
    "Tent",
    "create_method",
    "find_method",
    "origin",
]
