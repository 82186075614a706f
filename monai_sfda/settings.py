"""Settings that come as dictionaries, from a configuration or a command line: read, checked, refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from monai_sfda.errors import SettingError, nearest

M = TypeVar("M", bound=BaseModel)


def read_settings(model: type[M], given: Mapping[str, Any], owner: str) -> M:
    """Settings from a dictionary.

    Args:
        model: what there is to set, with defaults and ranges.
        given: names and values.
        owner: whose settings they are, for errors: `training`, `method 'sfs'`.

    Raises:
        SettingError: for an unknown name, with the nearest ones, or a value of the wrong kind or range.
    """
    known = model.model_fields
    for name in given:
        if name not in known:
            raise SettingError(
                f"{owner} has no setting '{name}'",
                remedy=f"did you mean {', '.join(nearest(name, known))}?" if known else "leave it out",
            )
    try:
        return model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingError(
            f"setting '{'.'.join(map(str, first['loc']))}' of {owner} cannot be {first['input']!r}",
            remedy=str(first["msg"]).lower(),
        ) from error
