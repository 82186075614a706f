"""What a client may ask of a job: listed names and bounded numbers, read into typed values, and nothing else.

A bundle's configuration executes expressions. Nothing of a request goes there but what was read here: a name
of a list that stands in this package, a whole number between bounds, a device that was matched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from monai_sfda.errors import SettingError, nearest
from monai_sfda.label.values import Options, first

METHODS = ("sfs", "adaent", "mas3", "osuda", "mean_teacher", "tent", "adabn")
"""Source-free methods that a client may choose."""
BUDGETS = ("standard", "quick", "long")
ANY_SCANNER, ALL_STUDIES, AUTO = "any", "all", "auto"
MOST_EPOCHS, MOST_STUDIES, LONGEST_TEXT = 2000, 2000, 128
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,2})?")
O = TypeVar("O", bound="JobOptions")  # noqa: E741


def _word(value: Any) -> Any:
    value = first(value)
    return value.strip() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    """Whole numbers, also as text; `true` is none, and no number of a thousand digits is ever parsed."""
    value = _word(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("use a whole number")
    return value


def _studies(value: Any) -> Any:
    """`all`, or ids: a list, or a text with commas or blanks between them."""
    if value is None or value in ("", [], ALL_STUDIES, [ALL_STUDIES]):
        return []
    if isinstance(value, str):
        if len(value) > MOST_STUDIES * (LONGEST_TEXT + 2):
            raise ValueError("name fewer studies")
        value = [part for part in re.split(r"[\s,;]+", value.strip("[] ").replace('"', "")) if part]
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("use 'all' or a list of study ids")
    if len(value) > MOST_STUDIES or any(not 0 < len(entry) <= LONGEST_TEXT for entry in value):
        raise ValueError(f"name at most {MOST_STUDIES} studies by their ids")
    return list(dict.fromkeys(value))


def _scanner(value: Any) -> Any:
    """`any`, or manufacturer and model with a comma between them."""
    value = _word(value)
    if value is None or value in ("", ANY_SCANNER):
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
        raise ValueError("use 'any', or one of the scanners offered")
    return value


def _device(value: Any) -> Any:
    value = _word(value)
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        raise ValueError("use auto, cpu, cuda or cuda:N")
    return value


Number = Annotated[int, BeforeValidator(_whole)]


class JobOptions(Options):
    """What every job can be asked.

    Attributes:
        budget: length of the run in words; `standard` is what the model's bundle says.
        epochs: length of the run in epochs; 0 leaves it to the budget.
        studies: ids of those that may be used; empty for all.
        device: where to compute.
        seed: of everything random.
    """

    budget: Annotated[Literal["standard", "quick", "long"], BeforeValidator(_word)] = "standard"
    epochs: Annotated[Number, Field(ge=0, le=MOST_EPOCHS)] = 0
    studies: Annotated[list[str], BeforeValidator(_studies)] = Field(default_factory=list)
    device: Annotated[str, BeforeValidator(_device)] = AUTO
    seed: Annotated[Number, Field(ge=0, lt=2**31)] = 0

    def public(self) -> dict[str, Any]:
        """For the record: ids of studies become their number."""
        content = self.model_dump()
        content["studies"] = len(self.studies) or ALL_STUDIES
        return content


class AdaptOptions(JobOptions):
    """What an adaptation can be asked.

    Attributes:
        method: one of `METHODS`; None for the bundle's own.
        scanner: only studies of this one, "Manufacturer, Model"; None for any.
        min_studies: fewer usable studies refuse the job.
    """

    method: Annotated[
        Literal["sfs", "adaent", "mas3", "osuda", "mean_teacher", "tent", "adabn"] | None,
        BeforeValidator(_word),
    ] = None
    scanner: Annotated[str | None, BeforeValidator(_scanner)] = None
    min_studies: Annotated[Number, Field(ge=1, le=MOST_STUDIES)] = 1


class FineTuneOptions(JobOptions):
    """What a fine-tuning can be asked.

    Attributes:
        min_studies: fewer labelled studies refuse the job.
    """

    min_studies: Annotated[Number, Field(ge=1, le=MOST_STUDIES)] = 1


def read_options(kind: type[O], given: Mapping[str, Any] | None) -> O:
    """The options of a request; names that are not ours, which clients add, are passed over.

    Raises:
        SettingError: for a value that is not allowed, naming the option and what is.
    """
    if given is not None and not isinstance(given, Mapping):
        raise SettingError("the options are no JSON object", remedy="send an object of names and values")
    try:
        return kind(
            **{str(name): value for name, value in (given or {}).items() if name in kind.model_fields}
        )
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        name = str(found["loc"][0]) if found["loc"] else "options"
        raise SettingError(
            f"option '{name}' cannot be {_shown(name, found['input'])}", remedy=_remedy(name, found)
        ) from None


def default_method(bundle: Path) -> str:
    """The method that a model's bundle adapts with when nothing is said."""
    try:
        given = json.loads((bundle / "configs" / "adapt.json").read_text(encoding="utf-8")).get("method")
    except (OSError, ValueError):
        given = None
    return given if given in METHODS else METHODS[0]


def choices(first: str, others: Sequence[str]) -> list[str]:
    """A panel's list: the default first."""
    return [first, *[other for other in others if other != first]]


def _shown(name: str, value: Any) -> str:
    """A refused value for the error's text; ids and long texts are not repeated."""
    if name == "studies":
        return "that"
    text = repr(value)
    return text if len(text) <= 40 else "that"


def _remedy(name: str, found: Any) -> str:
    if name == "method":
        given = found["input"] if isinstance(found["input"], str) else ""
        return f"use one of {', '.join(nearest(given[:LONGEST_TEXT], METHODS))}"
    return str(found["msg"]).removeprefix("Value error, ").lower()
