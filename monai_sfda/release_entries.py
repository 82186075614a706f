"""Every entry that a release's manifest may have, so that any other is seen. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_PREPROCESSING = (
    *("slice_axis", "pixel_size_mm", "stack_slices", "plane_size", "intensity.window"),
    *("intensity.percentiles", "intensity.clip", "intensity.nonzero", "intensity.fixed"),
)
_SETTINGS = (
    *("max_epochs", "epoch_length", "learning_rate", "adam_eps", "decay", "schedule", "loss", "rare_share"),
    *("batch_size", "accumulate", "processes", "precision", "seed", "image_size", "first_weights", "split"),
    *("split_source", "prototypes_refitted_from", "class_ratio_regressor"),
)
_REGRESSION = ("backbone", "width", "max_epochs", "epoch_length", "optimizer", "learning_rate", "momentum")
_STATISTICS = ("mean", "std", "n")
_METRICS = ("dice", "iou", "assd_mm", "hd95_mm", "hd_mm")

KNOWN = frozenset(
    (
        *("schema_version", "kind", "task", "domain", "minimum_subjects", "intended_use", "image_size"),
        *("modalities.source", "modalities.target", "labels.*", "versions.*", "files.*", "network_def.**"),
        *(f"preprocessing.{side}.{name}" for side in ("source", "target") for name in _PREPROCESSING),
        *("class_ratio", "class_ratio_regressor", "reference_scans", "validation", "modalities", "atlas"),
        *(f"class_ratio.{name}" for name in ("mean", "std", "subjects", "where_present", "shown_by")),
        *(f"class_ratio_regressor.{name}" for name in ("in_channels", "num_classes", "backbone", "width")),
        *(f"prototypes.{name}" for name in ("rho", "pixels", "subjects", "warnings")),
        *(f"reference_scans.{name}" for name in ("domain", "scans", "subjects", "histogram")),
        *(f"reference_scans.{name}" for name in ("class_mean", "class_variance", "levels")),
        *(f"reference_scans.levels.*.*.{name}" for name in ("mean", "std", "subjects")),
        *(f"training.{name}" for name in _SETTINGS),
        *(f"training.class_ratio_regressor.{name}" for name in _REGRESSION),
        *(f"training.preprocessing.{name}" for name in _PREPROCESSING),
        "training.augmentation.*",
        *(f"validation.{name}" for name in ("task", "domain", "split", "cases")),
        *(f"validation.{metric}.mean" for metric in _METRICS),
        *(
            f"validation.{metric}.{group}.*.{name}"
            for metric in _METRICS
            for group in ("per_class", "per_region")
            for name in _STATISTICS
        ),
        *(f"validation.{metric}.{group}" for metric in _METRICS for group in ("per_class", "per_region")),
        *("validation.undefined.*.*", "validation.one_empty.*.*"),
        *(f"validation.protocol.{name}" for name in ("name", "largest_component", "split_source")),
        *(
            f"validation.class_ratio_regressor.{name}"
            for name in ("slices", "squared_error", "squared_error_of_the_mean")
        ),
        *(f"atlas.{name}" for name in ("cells", "step_mm", "anchored", "subjects", "warnings")),
    )
)
"""Entries by their names from the outermost to the innermost, joined by dots; `*` is any one name, `**` any
number of them. What stands under a `*` or `**` is printed with its names.
"""


def read_strictly(manifest: bytes) -> tuple[Any, list[str]]:
    """A manifest's content, and the names that it gives twice: of these JSON keeps the last, and the first
    would stay unseen.

    Raises:
        ValueError: when it is no JSON.
    """
    twice: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                twice.append(name)
            found[name] = value
        return found

    return json.loads(manifest, object_pairs_hook=collect), twice


def unknown_entries(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of every entry that is not `KNOWN`."""
    patterns = [tuple(pattern.split(".")) for pattern in KNOWN]
    return [
        (".".join(path), value)
        for path, value in _leaves((), content)
        if not any(_fits(path, pattern) for pattern in patterns)
    ]


def texts(content: Any) -> Iterator[str]:
    """Every name and every text of a JSON value."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield str(name)
            yield from texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts(value)


def count_numbers(content: Any) -> int:
    """How many numbers a JSON value has."""
    if isinstance(content, bool):
        return 0
    if isinstance(content, int | float):
        return 1
    values = content.values() if isinstance(content, Mapping) else content
    return sum(count_numbers(value) for value in values) if isinstance(content, Mapping | list) else 0


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What is no object, and empty objects, with their names; a list is one, unless it holds objects."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves((*path, str(name)), inner)
    elif isinstance(value, list) and any(isinstance(inner, Mapping | str) for inner in value):
        if all(isinstance(inner, str) for inner in value):
            yield path, value
        else:
            for number, inner in enumerate(value):
                yield from _leaves((*path, f"[{number}]"), inner)
    else:
        yield path, value


def _fits(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if pattern[-1] == "**":
        return len(path) >= len(pattern) - 1 and path[: len(pattern) - 1] == pattern[:-1]
    return len(path) == len(pattern) and all(p in ("*", name) for name, p in zip(path, pattern, strict=True))
