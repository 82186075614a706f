"""The aspects in which scans are compared: their scales and words, and how they are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from monai_sfda.catalog import without_background
from monai_sfda.guard.distances import histogram_distance, mean_mahalanobis
from monai_sfda.guard.profile import BIN_WIDTH, ScanProfile

# Bounds the logarithm of what may be zero; smaller values are not told apart.
_TINY = 1e-4


@dataclass(frozen=True)
class Aspect:
    """One way in which a scan may be unlike others.

    Attributes:
        title: what it is, for people.
        unit: of its values; empty for none.
        scale, back: to a scale on which the values of like scans are roughly normal, and its inverse.
        floor: smallest standard deviation on that scale that is believed: scans of one protocol may differ in
            nothing at all, and any other would then be infinitely far. Of a distance: as a share of its mean.
        is_distance: whether the values are distances, of which only large ones are unlike.
    """

    title: str
    unit: str = ""
    scale: Callable[[float], float] = float
    back: Callable[[float], float] = float
    floor: float = 0.0
    is_distance: bool = False


def _logarithm(title: str, unit: str, floor: float, offset: float = _TINY) -> Aspect:
    return Aspect(
        title, unit, lambda x: math.log(x + offset), lambda y: max(math.exp(y) - offset, 0.0), floor
    )


def _probability(title: str, floor: float) -> Aspect:
    def logit(p: float) -> float:
        p = min(max(p, _TINY), 1 - _TINY)
        return math.log(p / (1 - p))

    return Aspect(title, "", logit, lambda y: 1 / (1 + math.exp(-y)), floor)


def _distance(title: str) -> Aspect:
    return Aspect(title, floor=0.2, is_distance=True)


ASPECTS: dict[str, Aspect] = {
    "early_layers": _distance("intensity statistics in the network's early layers"),
    "late_layers": _distance("statistics in the network's late layers"),
    "intensities": _distance("histogram of the normalised intensities"),
    "embeddings": _distance("embeddings of the predicted classes"),
    "entropy": _logarithm("mean entropy", "nats", 0.2),
    "confidence": _probability("mean confidence where a structure is predicted", 0.3),
    "volumes": _logarithm("predicted volume", "ml", 0.2, offset=1.0),
    "shares": _logarithm("predicted share of the picture", "%", 0.2, offset=0.1),
    "places_left_right": Aspect("way to the right between structures", "mm", floor=5.0),
    "places_back_front": Aspect("way to the front between structures", "mm", floor=5.0),
    "places_foot_head": Aspect("way to the head between structures", "mm", floor=5.0),
    "places_rows": Aspect("place of the structures from top to bottom", "%", floor=3.0),
    "places_columns": Aspect("place of the structures from left to right", "%", floor=3.0),
    "extent_left_right": _logarithm("field of view from left to right", "mm", 0.1),
    "extent_back_front": _logarithm("field of view from back to front", "mm", 0.1),
    "extent_foot_head": _logarithm("field of view from foot to head", "mm", 0.1),
    "slice_distance": _logarithm("distance between slices", "mm", 0.2),
}
ZERO_IF_ABSENT = ("volumes", "shares")
"""Aspects in which a structure that a scan does not show has the value 0."""
_PLACES = ("places_left_right", "places_back_front", "places_foot_head")
_PICTURE_PLACES = ("places_rows", "places_columns")
_EXTENTS = ("extent_left_right", "extent_back_front", "extent_foot_head")
Measurements = Mapping[str, Mapping[str, float]]
"""Aspect to part to value: a structure's name, two of them, or `scan` for what has no parts."""


@dataclass(frozen=True)
class Centre:
    """The middle of several scans, from which distances are measured.

    Attributes:
        histogram: (bins,) mean shares.
        class_mean, class_variance: (K, D) of the embeddings predicted to be a class, each scan counted once.
        scans: (K,) how many show the class.
    """

    histogram: Tensor
    class_mean: Tensor
    class_variance: Tensor
    scans: Tensor

    @staticmethod
    def of(profiles: Sequence[ScanProfile]) -> Centre:
        """Of at least one scan."""
        shown = torch.stack([profile.class_share > 0 for profile in profiles]).double()[..., None]
        scans = shown.sum(0)
        means = torch.stack([profile.class_mean for profile in profiles])
        variances = torch.stack([profile.class_variance for profile in profiles])
        mean = (means * shown).sum(0) / scans.clamp_min(1)
        spread = ((variances + (means - mean).square()) * shown).sum(0) / scans.clamp_min(1)
        histogram = torch.stack([profile.histogram for profile in profiles]).mean(0)
        return Centre(histogram, mean, spread, scans[:, 0])


def measure(
    profile: ScanProfile, centre: Centre, labels: Mapping[str, int], *, pictures: bool = False
) -> Measurements:
    """A scan's values in every aspect that it has, in their own units.

    Distances are roots of what is squared: they grow with a shift as it grows. A network without batch norm
    has no statistics of layers, a structure that is not predicted no place.

    Args:
        profile: of the scan.
        centre: of the scans that it is compared with.
        labels: class names to indices.
        pictures: whether nothing has a size in mm.
    """
    structures = without_background(labels)
    share, extent = profile.class_share, profile.extent
    layers = profile.layer_distances
    half = (len(layers) + 1) // 2
    found: dict[str, dict[str, float]] = {}
    if half:
        found["early_layers"] = {"scan": math.sqrt(float(layers[:half].mean()))}
    if half < len(layers):
        found["late_layers"] = {"scan": math.sqrt(float(layers[half:].mean()))}
    found["intensities"] = {"scan": float(histogram_distance(profile.histogram, centre.histogram, BIN_WIDTH))}
    comparable = (share > 0) & (centre.scans > 0)
    if bool(comparable.any()):
        # An embedding's channel that never varies says nothing, and must not be divided by.
        variance = centre.class_variance
        variance = variance.maximum(1e-3 * variance.mean(1, keepdim=True)).clamp_min(1e-12)
        distance = mean_mahalanobis(profile.class_mean, profile.class_variance, centre.class_mean, variance)
        found["embeddings"] = {"scan": math.sqrt(float(distance[comparable].mean()))}
    found["entropy"] = {"scan": profile.entropy}
    indices = list(structures.values())
    predicted = float(share[indices].sum())
    if predicted > 0:
        confidence = float((share * profile.confidence)[indices].sum()) / predicted
        found["confidence"] = {"scan": confidence}
    size = 100.0 if pictures else float(extent.prod()) / 1000
    found["shares" if pictures else "volumes"] = {
        name: float(share[index]) * size for name, index in structures.items()
    }
    shown = {name: index for name, index in structures.items() if float(share[index]) > 0}
    if pictures:
        for axis, aspect in enumerate(_PICTURE_PLACES):
            found[aspect] = {name: 100 * float(profile.centre[i, axis]) for name, i in shown.items()}
    if not pictures:
        for axis, aspect in enumerate(_EXTENTS):
            found[aspect] = {"scan": float(extent[axis])}
        found["slice_distance"] = {"scan": profile.slice_mm}
        # From one structure to another, so that one that is missing moves no other.
        for axis, aspect in enumerate(_PLACES if len(shown) > 1 else ()):
            found[aspect] = {
                f"{first} to {second}": float(
                    profile.centre[shown[second], axis] - profile.centre[shown[first], axis]
                )
                for first, second in combinations(shown, 2)
            }
    return found
