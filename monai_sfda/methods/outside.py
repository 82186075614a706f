"""Methods of other packages: by an entry point of the group `monai_sfda.methods`, or by a dotted name.

Nothing of another package is imported until its method is asked for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any

from monai_sfda.errors import SettingError
from monai_sfda.methods.base import Method, MethodSettings

GROUP = "monai_sfda.methods"
Registry = Mapping[str, type[Method[Any]]]
TEXTS = ("name", "title", "source")


def installed_methods() -> dict[str, list[EntryPoint]]:
    """Names of the methods that installed packages offer, to their entry points; imports none."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        same = found.setdefault(point.name, [])
        if point not in same:  # a package that is twice on the path is found twice
            same.append(point)
    return found


def load_entry_point(points: list[EntryPoint], built_in: Registry) -> type[Method[Any]]:
    """The method that the entry points of one name stand for.

    Raises:
        SettingError: when several packages, or this one too, have a method of that name; when the package
            cannot be imported; when what it gives is no method.
    """
    point = points[0]
    if point.name in built_in or len(points) > 1:
        owners = [_owner(p) for p in points] + (["monai_sfda itself"] if point.name in built_in else [])
        raise SettingError(
            f"method '{point.name}' is given by {' and by '.join(owners)}",
            remedy=f"uninstall all but one, or give the class: --method {point.value}",
        )
    method = _load(point.value, f"method '{point.name}' of {_owner(point)}", built_in)
    if method.name != point.name:
        raise SettingError(
            f"method '{point.name}' of {_owner(point)} calls itself '{method.name}'",
            remedy="give the entry point and the class's `name` one name",
        )
    return method


def load_dotted(name: str, built_in: Registry) -> type[Method[Any]]:
    """The method of a dotted name, `package.module:Class`; see `load_entry_point`."""
    return _load(name, f"method '{name}'", built_in)


def origin(method: type[Method[Any]]) -> dict[str, str | None]:
    """Where a method comes from, for the record of a run: its class, and its distribution with version.

    A class outside any installed distribution has None for both.
    """
    top = method.__module__.partition(".")[0]
    distributions = [top] if top == "monai_sfda" else packages_distributions().get(top, [])
    for distribution in distributions:
        try:
            found = version(distribution)
        except PackageNotFoundError:
            continue
        return {"class": _class_name(method), "distribution": distribution, "version": found}
    return {"class": _class_name(method), "distribution": None, "version": None}


def _load(target: str, what: str, built_in: Registry) -> type[Method[Any]]:
    module_name, _, class_name = target.partition(":")
    remedy = "install the package, or put its folder on PYTHONPATH; the name is package.module:Class"
    try:
        found: Any = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except Exception as error:  # what another package raises on import can be anything
        raise SettingError(
            f"{what} cannot be imported ({type(error).__name__}: {error})", remedy=remedy
        ) from error
    _check(found, what, built_in)
    method: type[Method[Any]] = found
    return method


def _check(found: Any, what: str, built_in: Registry) -> None:
    if not (inspect.isclass(found) and issubclass(found, Method)):
        raise SettingError(f"{what} is no method", remedy="it must be a class on monai_sfda.methods.Method")
    lacking = [text for text in TEXTS if not isinstance(getattr(found, text, None), str)]
    settings = getattr(found, "settings_class", None)
    if not (inspect.isclass(settings) and issubclass(settings, MethodSettings)):
        lacking.append("settings_class")
    lacking += sorted(found.__abstractmethods__)
    if lacking:
        raise SettingError(f"{what} lacks {', '.join(lacking)}", remedy="define it in the class")
    if found.name in built_in and built_in[found.name] is not found:
        raise SettingError(
            f"{what} calls itself '{found.name}', as a method of monai_sfda does",
            remedy="give the class another `name`: a record must not say the one for the other",
        )


def _class_name(method: type[Method[Any]]) -> str:
    return f"{method.__module__}:{method.__qualname__}"


def _owner(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
