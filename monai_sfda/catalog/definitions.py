"""What a task is made of: structures, label values, intensities, subject-wise splits, domains."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from monai_sfda.catalog.coding import Coding
from monai_sfda.catalog.protocols import PublishedProtocol
from monai_sfda.errors import SettingError, nearest

BACKGROUND = "background"
IGNORED = 255
"""Class of pixels that nobody has named: no loss, no statistic and no score counts them."""


@dataclass(frozen=True)
class Structure:
    """One segmented structure.

    Attributes:
        name: as the field writes it, lower case with underscores; used in files, tables and clients.
        index: its contiguous label, from 1; background is 0. In a task of pictures, which has no background,
            from 0.
        color: red, green, blue in 0..255 for overlays.
        coding: coded terms for DICOM segmentations; None for what is no part of a body.
    """

    name: str
    index: int
    color: tuple[int, int, int]
    coding: Coding | None = None


@dataclass(frozen=True)
class Region:
    """Several structures taken together, which evaluation scores beside them.

    Attributes:
        name: as the field writes it.
        indices: of the structures.
    """

    name: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class LabelRange:
    """Stored label values from `low` to `high` (both included) mean the class `index`."""

    low: int
    high: int
    index: int


@dataclass(frozen=True)
class Intensity:
    """How the intensities of a modality become network input, before zero mean and unit variance.

    Attributes:
        window: lowest and highest value kept, in the scan's own unit (Hounsfield for CT); None for no window.
        percentiles: lowest and highest percentile kept, computed per scan; None for none.
        clip: after normalisation, values beyond this many standard deviations are clipped; None for no clip.
        nonzero: percentiles, mean and deviation are those of the voxels that are not 0, for scans whose
            background is exactly 0, as after skull stripping.
        fixed: mean and standard deviation that take the place of the scan's own; None for its own.
    """

    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    clip: float | None = 3.0
    nonzero: bool = False
    fixed: tuple[float, float] | None = None


@dataclass(frozen=True)
class SeededSplit:
    """A split by subject for a data set without an official one.

    The subjects that are there are put in the order of a hash of seed and id, and cut by the shares: the same
    subjects give the same split on every machine, and a subject more moves few others. With `parts`, two
    domains of one data set take disjoint subjects: of the same order, subject i belongs to part i mod parts.

    Attributes:
        train, val, test: shares, which sum to 1; every share above 0 gets a subject as soon as there are
            enough.
        seed: of the order.
        part, parts: which subjects are the domain's.
    """

    train: float
    val: float
    test: float
    seed: int = 0
    part: int = 0
    parts: int = 1

    def of(self, subjects: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Subject ids by `train`, `val` and `test`.

        >>> split = SeededSplit(0.6, 0.2, 0.2).of(str(i) for i in range(10))
        >>> [len(ids) for ids in split.values()]
        [6, 2, 2]
        """

        def order(subject: str) -> bytes:
            return hashlib.sha256(f"{self.seed}/{subject}".encode()).digest()

        mine = sorted(set(subjects), key=order)[self.part :: self.parts]
        count = len(mine)
        tests = _share(self.test, count)
        vals = min(_share(self.val, count), max(count - tests - 1, 0))
        return {
            "train": tuple(mine[tests + vals :]),
            "val": tuple(mine[tests : tests + vals]),
            "test": tuple(mine[:tests]),
        }


def _share(share: float, count: int) -> int:
    """Subjects of a share: rounded, at least one of two or more, and never all of them."""
    return min(max(round(share * count), 1), count - 1) if share > 0 and count > 1 else 0


@dataclass(frozen=True)
class Domain:
    """One side of a task: a data set as it is published, and how its scans are read.

    Attributes:
        dataset: name of the reader (`brats`, `btcv`, `chaos` ...).
        modality: the modality's name within the data set, e.g. `T2SPIR`; what the reader looks for.
        kind: `MR`, `CT` or `picture`.
        title: for people.
        label_values: stored label values of the classes used.
        other_values: stored values that are known and count as background.
        ignored_values: stored values that are known and count as `IGNORED`.
        splits: official subject ids by `train`, `val` and `test`, or the rule for a data set without.
        split_source: where the split comes from, for reports.
        intensity: preprocessing of the intensities.
        crop_margin_mm: for scans cropped round a lesion, the margin that the centre-blob baseline assumes.
        modalities: of a data set with several, those that a user may choose, and the title that each gives
            the domain; empty where there is no choice.
        channels: of scans with several, how the names of their files end, in the network's order.
    """

    dataset: str
    modality: str
    kind: str
    title: str
    label_values: tuple[LabelRange, ...]
    other_values: tuple[int, ...]
    splits: Mapping[str, tuple[str, ...]] | SeededSplit
    split_source: str
    intensity: Intensity
    crop_margin_mm: float | None = None
    modalities: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    ignored_values: tuple[int, ...] = ()

    @property
    def scans(self) -> str:
        """What there are several of, for messages: `BTCV CT scans`, `GTA5 pictures`."""
        return self.title if self.kind == "picture" else f"{self.title} scans"

    def splits_of(self, found: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Subject ids by split: the official ones, or by the rule from those that were found."""
        return self.splits.of(found) if isinstance(self.splits, SeededSplit) else self.splits

    def with_modality(self, name: str | None) -> Domain:
        """The domain with another of its modalities; None keeps its own.

        Raises:
            SettingError: when the data set has no such modality; the message lists the nearest.
        """
        if name is None or name == self.modality:
            return self
        if name not in self.modalities:
            known = self.modalities or {self.modality: self.title}
            raise SettingError(
                f"modality '{name}' is unknown", remedy=f"use one of {', '.join(nearest(name, known))}"
            )
        return replace(self, modality=name, title=self.modalities[name])


@dataclass(frozen=True)
class Task:
    """A published adaptation task.

    Attributes:
        name: as given to `--task`.
        bundle: folder name of its bundle.
        structures: the classes without background.
        source, target: its two domains.
        slice_axis: axis across which a scan is cut into slices, in RAS orientation (2: axial).
        stack_slices: consecutive slices that make one network input (2.5D).
        pixel_size_mm, image_size: in-plane sampling at full size; `small.json` has its own.
        baselines: label-free reference segmentations that a report must show beside the model.
        regions: unions of structures that are scored beside them.
        phantoms: name of its phantoms (`PHANTOM_TASKS`), where several tasks share them; None: the task's.
        pictures: colour pictures instead of scans. A picture is one slice of three channels without a size in
            mm, resampled to the network's size whatever its own; every pixel has a class or is ignored.
        protocols: how papers evaluated on the target, beside `own_protocol`.
        mirrors: whether a scan with left and right exchanged is a plausible scan of the task.
    """

    name: str
    title: str
    bundle: str
    structures: tuple[Structure, ...]
    source: Domain
    target: Domain
    slice_axis: int = 2
    stack_slices: int = 3
    pixel_size_mm: float = 1.6
    image_size: int = 256
    baselines: tuple[str, ...] = field(default=())
    regions: tuple[Region, ...] = field(default=())
    phantoms: str | None = None

    @property
    def phantom_name(self) -> str:
        """What its phantoms are called."""
        return self.phantoms or self.name

    pictures: bool = False
    protocols: tuple[PublishedProtocol, ...] = ()
    mirrors: bool = False

    @property
    def mirrored_classes(self) -> tuple[int, ...] | None:
        """The class that each becomes, in the order of the indices, where left and right are exchanged.

        Structures of one type on the left and on the right become each other; all others stay. None where
        the mirrored scan is no plausible one (`mirrors`).
        """
        if not self.mirrors:
            return None
        found = list(range(max(s.index for s in self.structures) + 1))
        coded = {s.coding: s.index for s in self.structures if s.coding is not None}
        for coding, index in coded.items():
            found[index] = coded.get(coding.mirrored, index)
        return tuple(found)

    @property
    def own_protocol(self) -> str:
        """How it is evaluated by default: whole volumes one by one, or all pictures' pixels together."""
        return "pooled_pixels" if self.pictures else "whole_volume"

    def published_protocol(self, name: str | None) -> PublishedProtocol | None:
        """The published protocol of that name; None for `own_protocol` and for None.

        Raises:
            SettingError: when the task has no such protocol; the message lists the nearest.
        """
        if name is None or name == self.own_protocol:
            return None
        found = {protocol.name: protocol for protocol in self.protocols}
        if name not in found:
            known = nearest(str(name), (self.own_protocol, *found))
            none = "" if found else f"; no paper evaluated on task '{self.name}'"
            raise SettingError(
                f"evaluation protocol '{name}' is unknown", remedy=f"use {' or '.join(known)}{none}"
            )
        return found[name]

    @property
    def labels(self) -> dict[str, int]:
        """Class names to contiguous indices, background first where there is one."""
        background = {} if self.pictures else {BACKGROUND: 0}
        return background | {s.name: s.index for s in self.structures}

    def with_regions(self, volumes: Mapping[str, float]) -> dict[str, float]:
        """Volumes of the structures by name, and those of the regions, which are their sums."""
        names = {s.index: s.name for s in self.structures}
        return dict(volumes) | {r.name: sum(volumes[names[i]] for i in r.indices) for r in self.regions}

    def domain(self, name: str) -> Domain:
        """The `source` or `target` domain; a `SettingError` for any other name."""
        if name not in ("source", "target"):
            raise SettingError(f"domain '{name}' is unknown", remedy="use 'source' or 'target'")
        return self.source if name == "source" else self.target

    def with_modalities(self, source: str | None = None, target: str | None = None) -> Task:
        """The task between other modalities of its data sets; None keeps the task's own.

        Raises:
            SettingError: when a data set has no such modality.
        """
        return replace(
            self, source=self.source.with_modality(source), target=self.target.with_modality(target)
        )


def without_background(labels: Mapping[str, int]) -> dict[str, int]:
    """Names and indices of the structures alone.

    >>> without_background({"background": 0, "liver": 1}), without_background({"road": 0})
    ({'liver': 1}, {'road': 0})
    """
    return {name: index for name, index in labels.items() if name != BACKGROUND}
