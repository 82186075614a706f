"""Typed reading of what clients send: texts, numbers and lists from option panels, JSON and forms.

Slicer's panel sends texts and numbers; a choice that nobody touched may come back as the whole list, in which
the first entry is the default. OHIF's panel does likewise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from monai_sfda.errors import SettingError

_TRUE, _FALSE = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n", "")
_UNSAID = ("", "none", "null", "default")
_LONGEST = 200
"""Characters of a value that a message repeats."""


def as_bool(value: Any) -> bool:
    """A boolean, however a client writes it; None is False.

    >>> as_bool("false"), as_bool("True"), as_bool(0), as_bool(["false", "true"])
    (False, True, False, False)

    Raises:
        ValueError: when it is none.
    """
    value = first(value)
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("use true or false")


def flag(name: str, value: Any) -> bool:
    """`as_bool` of one option of a request.

    Raises:
        SettingError: when it is no boolean; names the option and what is allowed.
    """
    try:
        return as_bool(value)
    except ValueError as error:
        shown = str(value)[:_LONGEST]
        raise SettingError(f"{name} '{shown}' cannot be used", remedy="use true or false") from error


def first(value: Any) -> Any:
    """The first entry of a list, which is the default of an untouched choice; any other value as it is."""
    if isinstance(value, (list, tuple)):
        return value[0] if value else None
    return value


def as_list(value: Any) -> list[Any]:
    """A list, however a client writes it: a list, a text with commas, one value, nothing.

    >>> as_list("liver, spleen"), as_list(None), as_list(["liver"]), as_list(3)
    (['liver', 'spleen'], [], ['liver'], [3])
    """
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value]


Flag = Annotated[bool, BeforeValidator(as_bool)]
"""Type of a field that is a boolean; see `as_bool`."""

TextList = Annotated[list[str], BeforeValidator(as_list)]
"""Type of a field that is a list of texts; see `as_list`."""


class Options(BaseModel):
    """Options of a request: the listed fields are ours, typed and bounded; other keys are the client's.

    A value that says nothing ("", "none", "null", "default", None) takes the field's default, and a list for
    a field that is none stands for its first entry.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        """Takes our keys out of what was sent."""
        if not isinstance(data, Mapping):
            return data
        found = {}
        for name, field in cls.model_fields.items():
            if name not in data:
                continue
            listed = get_origin(field.annotation) is list
            value = data[name] if listed else first(data[name])
            if isinstance(value, str) and not listed:
                value = value.strip()
            if value is None or (isinstance(value, str) and value.lower() in _UNSAID):
                continue
            found[name] = value
        return found


_Model = TypeVar("_Model", bound=BaseModel)


def read_options(kind: type[_Model], request: Mapping[str, Any]) -> _Model:
    """Options from a request.

    Args:
        kind: which options.
        request: as the client sent it; keys that are not of `kind` are not looked at.

    Raises:
        SettingError: when a value is of the wrong type or out of bounds; names key, value and remedy.
    """
    try:
        return kind.model_validate(dict(request))
    except ValidationError as error:
        raise setting_error(error) from error


def setting_error(error: ValidationError) -> SettingError:
    """The first complaint of pydantic as an error of this package."""
    found = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in found["loc"]) or "the request"
    value = found.get("input")
    shown = "" if isinstance(value, Mapping) else f" '{str(value)[:_LONGEST]}'"
    said = found["msg"].removeprefix("Value error, ")
    return SettingError(f"{key}{shown} cannot be used", remedy=said[:1].lower() + said[1:])
