"""Correction of one structure from a few marked voxels, the model's probabilities and the image.

With q_v the probability of the structure at voxel v, D_f and D_b the geodesic distances (mm) to the
foreground and background marks, and D the one to the marks that contradict the present mask:

    w_v = exp(-(D_v / reach)^2)     trust in the marks
    s_v = D_b / (D_f + D_b)         what they say; 1 or 0 where one kind is absent
    P_v = (1 - w_v) q_v + w_v s_v

    E(x) = sum_v -log P_v(x_v) + lambda sum_{v next to u} exp(-|I_v - I_u|^2 / 2 sigma^2) [x_v != x_u]

E is minimised by a graph cut (Boykov and Kolmogorov, PAMI 2004; numpymaxflow, as in MONAI Label). Marked
voxels are hard: P_v is 0 or 1. Where the present mask contradicts the model, somebody corrected it before,
and q_v follows the mask. Fusion of probabilities and geodesic distances in the manner of Luo et al.,
"MIDeepSeg", Medical Image Analysis 2021; marks as hard terms as in Wang et al., IEEE TMI 2018.

What changes hangs together with a mark that asked for it: voxels are added in one piece with a foreground
mark, taken away in one piece with a background mark, within `reach` of it; everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.data.scan import Scan
from monai_sfda.label.correction.geodesic import UNLIKE_COST, geodesic_distance, noise_scale, unlikeness
from monai_sfda.label.correction.graph_cut import graph_cut
from monai_sfda.label.correction.seeds import Seeds
from monai_sfda.label.correction.window import Window

_TOUCHING = np.ones((3, 3, 3), bool)
_SOFTEST, _CORRECTED = 0.02, 0.05
"""Least probability that the model's and a former correction's word leave to the contrary."""


@dataclass(frozen=True)
class Reach:
    """How far and how smoothly marks act.

    Attributes:
        mm: geodesic distance beyond which nothing changes.
        smoothness: lambda of the graph cut.
    """

    mm: float = 20.0
    smoothness: float = 0.5


def refine(
    scan: Scan,
    probability: NDArray[np.float32],
    current: NDArray[np.uint8],
    target: int,
    seeds: Seeds,
    reach: Reach,
    *,
    yielding: Collection[int] = (),
    roi: tuple[slice, slice, slice] | None = None,
) -> NDArray[np.uint8]:
    """The classes of a scan after one structure was corrected.

    Args:
        scan: whose image helps.
        probability: (X, Y, Z) of the structure, by the model.
        current: (X, Y, Z) classes as they are; not changed.
        target: index of the structure.
        seeds: marked voxels of it, at least one.
        reach: how far and how smoothly the marks act.
        yielding: other structures that give voxels to this one; all others keep theirs but for those marked
            as foreground.
        roi: beyond it nothing changes.

    Returns:
        A new array; beside marks and `yielding`, voxels of other structures are as in `current`.
    """
    classes = current.copy()
    _set_marks(classes, target, seeds)
    contrary = _contrary(current, target, seeds)
    if not len(contrary):
        return classes
    window = Window.round_voxels(contrary.all, scan, reach.mm, roi)
    before = current[window.box]
    marks = {
        "foreground": window.mask(seeds.foreground),
        "background": window.mask(seeds.background),
        "add": window.mask(contrary.foreground),
        "remove": window.mask(contrary.background),
    }
    wanted = window.turn_back(
        _cut(
            np.stack([window.turn(image[window.box]) for image in scan.array]),
            window.turn(probability[window.box]),
            window.turn(before == target),
            {name: window.turn(mask) for name, mask in marks.items()},
            reach,
            window,
        )
    )
    free = (before == 0) | np.isin(before, list(yielding))
    if roi is not None:
        inside = np.zeros(before.shape, np.bool_)
        inside[tuple(_moved(part, box.start) for part, box in zip(roi, window.box, strict=True))] = True
        wanted = np.where(inside, wanted, before == target)
    add = wanted & (before != target) & free & ~marks["background"]
    remove = ~wanted & (before == target) & ~marks["foreground"]
    box = classes[window.box]
    box[_in_one_piece(add, marks["add"])] = target
    box[_in_one_piece(remove, marks["remove"])] = 0
    return classes


def _moved(part: slice, start: int) -> slice:
    """A slice of the scan's indices as one of the box's."""
    return slice(max(0, part.start - start), max(0, part.stop - start))


def _set_marks(classes: NDArray[np.uint8], target: int, seeds: Seeds) -> None:
    """Marked voxels are always obeyed."""
    at = tuple(seeds.background.T)
    classes[at] = np.where(classes[at] == target, 0, classes[at])
    classes[tuple(seeds.foreground.T)] = target


def _contrary(current: NDArray[np.uint8], target: int, seeds: Seeds) -> Seeds:
    """The marks that contradict the present mask; the others say where it is right."""
    return Seeds(
        seeds.foreground[current[tuple(seeds.foreground.T)] != target],
        seeds.background[current[tuple(seeds.background.T)] == target],
    )


def _cut(
    images: NDArray[np.float32],
    probability: NDArray[np.float32],
    before: NDArray[np.bool_],
    marks: dict[str, NDArray[np.bool_]],
    reach: Reach,
    window: Window,
) -> NDArray[np.bool_]:
    """The structure in the turned box, by the equation above.

    Args:
        images: (C, A, B, C') of the turned box.
        probability: (A, B, C').
        before: (A, B, C') the structure as it is.
        marks: (A, B, C') all `foreground` and `background` marks, and those that contradict `before`: `add`
            and `remove`.
        reach: how far and how smoothly.
        window: of the box.
    """
    q = probability.clip(_SOFTEST, 1 - _SOFTEST)
    q = np.where(before & (q < 0.5), 1 - _CORRECTED, np.where(~before & (q > 0.5), _CORRECTED, q))
    images = np.stack([window.mean(np.nan_to_num(image, posinf=0.0, neginf=0.0)) for image in images])
    marks = {name: window.any(mask) for name, mask in marks.items()}
    for name in ("background", "remove"):
        marks[name] = marks[name] & ~marks["foreground"]  # a block may hold marks of both kinds
    near = {"foreground": _infinite(before, window), "background": _infinite(before, window)}
    contradiction = _infinite(before, window)
    present = window.mean(before.astype(np.float32)) >= 0.5
    for kind, contradicting in (("foreground", "add"), ("background", "remove")):
        if marks[kind].any():
            asking = marks[contradicting] if marks[contradicting].any() else marks[kind]
            wrong = present if kind == "background" else ~present
            unlike = unlikeness(images, asking, wrong, window.spacing_mm)
            cost = 1 + np.float32(UNLIKE_COST) * unlike**2
            near[kind] = start = geodesic_distance(cost, marks[kind], window.spacing_mm, reach.mm)
            if not np.array_equal(marks[kind], marks[contradicting]):
                start = geodesic_distance(cost, marks[contradicting], window.spacing_mm, reach.mm)
            contradiction = np.minimum(contradiction, start)
    trust = np.exp(-((contradiction / reach.mm) ** 2))
    fused = (1 - trust) * window.mean(q.astype(np.float32)) + trust * _said(**near)
    fused[marks["foreground"]], fused[marks["background"]] = 1.0, 0.0
    scaled = np.stack([image / noise_scale(image) for image in images])
    cut = graph_cut(scaled, fused.astype(np.float32), reach.smoothness)
    reached = np.isfinite(contradiction)
    if window.block == (1, 1, 1):
        return np.asarray(np.where(reached, cut, before), np.bool_)
    changed = window.repeat(reached & (cut != present))
    return np.asarray(np.where(changed, window.enlarge(cut.astype(np.float32)) >= 0.5, before), np.bool_)


def _infinite(like: NDArray[np.bool_], window: Window) -> NDArray[np.float32]:
    return np.full(window.any(like).shape, np.inf, np.float32)


def _said(foreground: NDArray[np.float32], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """s_v of the equation above; one half where neither kind of mark is near."""
    only_foreground = np.isfinite(foreground) & np.isinf(background)
    both = np.isfinite(foreground) & np.isfinite(background)
    share = np.zeros(foreground.shape, np.float32)
    np.divide(background, foreground + background, out=share, where=both & (foreground + background > 0))
    share[only_foreground] = 1.0
    share[np.isinf(foreground) & np.isinf(background)] = 0.5
    return share


def _in_one_piece(changed: NDArray[np.bool_], marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The changed voxels that hang together (26-connected) with a mark."""
    regions, _ = ndimage.label(changed | marks, structure=_TOUCHING)
    with_mark = np.unique(regions[marks])
    return np.asarray(np.isin(regions, with_mark[with_mark > 0]) & changed, np.bool_)
