"""Magnetic resonance images of a brain: T1 before and after contrast agent, T2, FLAIR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.brain_anatomy import Brain
from monai_sfda.phantom.brain_tissues import BRAIN_TISSUES, GADOLINIUM_MMOL, BrainTissue, with_gadolinium
from monai_sfda.phantom.draws import Seed, generators, normal, uniform
from monai_sfda.phantom.fields import exponential_field, slow_field
from monai_sfda.phantom.geometry import Box, Float32, Grid
from monai_sfda.phantom.kspace import acquisition_window, receive
from monai_sfda.phantom.mr import gradient_echo_signal, spin_echo_signal
from monai_sfda.phantom.mr_tissues import MrTissue

BrainSequence = Literal["t1", "t1ce", "t2", "flair"]
SEQUENCES: tuple[BrainSequence, ...] = get_args(BrainSequence)

_TEXTURE_MM = 1.6  # how far the texture of the tissues is correlated


@dataclass(frozen=True)
class Acquisition:
    """How one sequence is acquired.

    Attributes:
        in_plane_mm: acquired pixel size along both axes of a slice.
        slice_mm: thickness and distance of the slices.
        noise: standard deviation of each quadrature channel, relative to the signal of white matter.
        gain: stored units of white matter, which scanners choose freely.
    """

    in_plane_mm: float
    slice_mm: float
    noise: float
    gain: float


@dataclass(frozen=True)
class BrainScanner:
    """A 1.5 T scanner and its protocol for brain tumours.

    Attributes:
        t1_repetition_ms, t1_echo_ms, t1_flip_degrees: of the spoiled gradient echo, before and after contrast
            agent.
        t2_repetition_ms, t2_echo_ms: of the fast spin echo (the effective echo).
        flair_repetition_ms, flair_echo_ms: of the inversion recovery fast spin echo.
        flair_null: inversion time relative to that which nulls cerebrospinal fluid.
        uptake: factor on the concentration of contrast agent (dose, and how long after the injection).
        bias: relative amplitude of the slow variation of the coil's sensitivity.
        texture: factor on the texture of the tissues.
        acquisitions: by sequence.
    """

    t1_repetition_ms: float
    t1_echo_ms: float
    t1_flip_degrees: float
    t2_repetition_ms: float
    t2_echo_ms: float
    flair_repetition_ms: float
    flair_echo_ms: float
    flair_null: float
    uptake: float
    bias: float
    texture: float
    acquisitions: dict[BrainSequence, Acquisition]


Range = tuple[float, float]


@dataclass(frozen=True)
class _Ranges:
    """What scanners are drawn from: shares of volume acquisitions of T1 and of T2 and FLAIR, else slices of
    `slice_mm`; the rest as in `Acquisition` and `BrainScanner`.
    """

    t1_volumes: float
    t2_volumes: float
    slice_mm: Range
    noise: Range
    t1_flip_degrees: Range
    t2_echo_ms: Range
    flair_echo_ms: Range
    uptake: Range
    bias: Range


_USUAL = _Ranges(
    t1_volumes=0.7,
    t2_volumes=0.35,
    slice_mm=(3.0, 5.0),
    noise=(0.015, 0.045),
    t1_flip_degrees=(26, 36),
    t2_echo_ms=(82, 105),
    flair_echo_ms=(95, 130),
    uptake=(0.7, 1.3),
    bias=(0.08, 0.22),
)
_OLDER = _Ranges(
    t1_volumes=0.2,
    t2_volumes=0.1,
    slice_mm=(4.0, 6.0),
    noise=(0.03, 0.06),
    t1_flip_degrees=(18, 26),
    t2_echo_ms=(100, 130),
    flair_echo_ms=(110, 135),
    uptake=(0.5, 1.0),
    bias=(0.15, 0.35),
)


@dataclass(frozen=True)
class BrainImages:
    """The images of one examination by sequence (int16) and their `TumourLabel`s (uint8), all (X, Y, Z) on
    `grid`; the background is exactly 0.
    """

    grid: Grid
    arrays: dict[BrainSequence, NDArray[np.int16]]
    labels: NDArray[np.uint8]
    scanner: BrainScanner


def draw_brain_scanner(seed: Seed, older: bool = False) -> BrainScanner:
    """A scanner and protocol as they vary from one examination to the next: slices of 1 to 5 mm, T1 mostly
    thin, T2 and FLAIR mostly thick.

    Args:
        seed: of the draw.
        older: one of a site whose protocol has thick slices in all sequences, weaker weighting by T1, longer
            echoes, less contrast agent, more noise and a coil of less even sensitivity (ranges: ours).
    """
    rng = np.random.default_rng(seed)
    ranges = _OLDER if older else _USUAL
    thin = uniform(rng, 1.0, 1.5)
    acquisitions: dict[BrainSequence, Acquisition] = {}
    for sequence in SEQUENCES:
        volume = rng.random() < (ranges.t1_volumes if sequence in ("t1", "t1ce") else ranges.t2_volumes)
        acquisitions[sequence] = Acquisition(
            in_plane_mm=uniform(rng, 0.9, 1.1),
            slice_mm=thin if volume else uniform(rng, *ranges.slice_mm),
            noise=uniform(rng, *ranges.noise),
            gain=float(np.exp(rng.uniform(np.log(150.0), np.log(900.0)))),
        )
    return BrainScanner(
        t1_repetition_ms=uniform(rng, 16, 26),
        t1_echo_ms=uniform(rng, 4, 7),
        t1_flip_degrees=uniform(rng, *ranges.t1_flip_degrees),
        t2_repetition_ms=uniform(rng, 3500, 6000),
        t2_echo_ms=uniform(rng, *ranges.t2_echo_ms),
        flair_repetition_ms=uniform(rng, 8000, 10000),
        flair_echo_ms=uniform(rng, *ranges.flair_echo_ms),
        flair_null=normal(rng, 1.0, 0.02),
        uptake=uniform(rng, *ranges.uptake),
        bias=uniform(rng, *ranges.bias),
        texture=uniform(rng, 0.7, 1.3),
        acquisitions=acquisitions,
    )


def inversion_time_ms(t1_ms: float, repetition_ms: float) -> float:
    """The inversion time that nulls a tissue, T1 ln(2 / (1 + exp(-TR / T1))), ms.

    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, ch. 14.2 (TE << TR).
    """
    return float(t1_ms * np.log(2.0 / (1.0 + np.exp(-repetition_ms / t1_ms))))


def inversion_recovery_signal(
    density: float, t1_ms: float, t2_ms: float, repetition_ms: float, echo_ms: float, inversion_ms: float
) -> float:
    """Signal of an inversion recovery fast spin echo, density (1 - 2 exp(-TI/T1) + exp(-TR/T1))
    exp(-TE/T2), negative before the null; times in ms.

    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, ch. 14.2.
    """
    recovery = 1.0 - 2.0 * np.exp(-inversion_ms / t1_ms) + np.exp(-repetition_ms / t1_ms)
    return float(density * recovery * np.exp(-echo_ms / t2_ms))


def brain_signal(
    tissue: MrTissue, scanner: BrainScanner, sequence: BrainSequence, gadolinium_mmol: float = 0.0
) -> float:
    """The signal of a tissue; `gadolinium_mmol` (mmol/l) counts after contrast agent only (t1ce)."""
    if sequence == "t2":
        repetition, echo = scanner.t2_repetition_ms, scanner.t2_echo_ms
        spin = spin_echo_signal(tissue.density, tissue.t1_ms, tissue.t2_ms, repetition, echo)
        return spin * tissue.flow
    if sequence == "flair":
        repetition = scanner.flair_repetition_ms
        fluid = BRAIN_TISSUES[BrainTissue.CEREBROSPINAL_FLUID]
        inversion = scanner.flair_null * inversion_time_ms(fluid.t1_ms, repetition)
        inverted = inversion_recovery_signal(
            tissue.density, tissue.t1_ms, tissue.t2_ms, repetition, scanner.flair_echo_ms, inversion
        )
        return inverted * tissue.flow
    here = with_gadolinium(tissue, gadolinium_mmol) if sequence == "t1ce" else tissue
    return gradient_echo_signal(
        here.density,
        here.t1_ms,
        here.t2star_ms,
        scanner.t1_repetition_ms,
        scanner.t1_echo_ms,
        scanner.t1_flip_degrees,
    )


def image_brain(brain: Brain, grid: Grid, scanner: BrainScanner, seed: Seed) -> BrainImages:
    """All four images of one examination, in register, on one grid.

    The signals of the tissues in each voxel are averaged; texture and the coil's sensitivity follow. Each
    sequence is then sampled in its own slices (thick ones average over 3 to 5 mm), passes the receiver
    (limited resolution, noise, magnitude) and is interpolated back to the grid, as scans are that a data set
    brings to 1 mm. At last the skull is stripped: outside of the brain every image is 0.

    Args:
        brain: the subject.
        grid: where to sample, in brain coordinates; slices along the third index axis.
        scanner: protocol and imperfections.
        seed: of everything that is not anatomy.
    """
    subject, rng = generators(seed, 2)
    tissues = _vary_tissues(subject)
    values: dict[BrainTissue, tuple[float, ...]] = {}
    for kind, tissue in tissues.items():
        uptake = scanner.uptake * GADOLINIUM_MMOL.get(kind, 0.0)
        signals = (brain_signal(tissue, scanner, sequence, uptake) for sequence in SEQUENCES)
        values[kind] = (*signals, tissue.texture * scanner.texture, float(kind is not BrainTissue.OUTSIDE))
    box = _brain_box(brain, grid)
    part = _cropped(grid, box)
    painted, labels = brain.paint(part, values)
    inside = painted[-1] > 0.5
    texture = painted[-2] * exponential_field(rng, part.shape, part.spacing_mm, _TEXTURE_MM)
    coil = (1.0 + texture) * np.exp(scanner.bias * slow_field(subject, part.shape, part.spacing_mm, 150.0))
    arrays: dict[BrainSequence, NDArray[np.int16]] = {}
    for index, sequence in enumerate(SEQUENCES):
        acquisition = scanner.acquisitions[sequence]
        white = values[BrainTissue.WHITE_MATTER][index]
        shown = _acquire(painted[index] * coil / np.float32(white), part, acquisition, rng)
        stored = np.clip(np.rint(shown * acquisition.gain), 1, np.iinfo(np.int16).max)
        array = np.zeros(grid.shape, np.int16)
        array[box] = np.where(inside, stored, 0)
        arrays[sequence] = array
    whole = np.zeros(grid.shape, np.uint8)
    whole[box] = labels
    return BrainImages(grid, arrays, whole, scanner)


def _vary_tissues(rng: np.random.Generator) -> dict[BrainTissue, MrTissue]:
    """Relaxation times and densities of one subject, a few per cent round the literature's means."""
    return {
        kind: replace(
            tissue,
            density=min(tissue.density * normal(rng, 1.0, 0.01), 1.0),
            t1_ms=tissue.t1_ms * normal(rng, 1.0, 0.03 if kind in _HEALTHY else 0.08),
            t2_ms=tissue.t2_ms * normal(rng, 1.0, 0.03 if kind in _HEALTHY else 0.10),
        )
        for kind, tissue in BRAIN_TISSUES.items()
    }


_HEALTHY = frozenset(
    {
        BrainTissue.CORTEX,
        BrainTissue.WHITE_MATTER,
        BrainTissue.STRIATUM,
        BrainTissue.PALLIDUM,
        BrainTissue.THALAMUS,
        BrainTissue.BRAIN_STEM,
        BrainTissue.CEREBROSPINAL_FLUID,
    }
)


def _acquire(signal: Float32, grid: Grid, acquisition: Acquisition, rng: np.random.Generator) -> Float32:
    """What is shown at the voxels of a grid of an image acquired in its own slices."""
    spacing, count = grid.spacing_mm, grid.shape[2]
    slices = max(2, min(count, round(count * spacing[2] / acquisition.slice_mm)))
    if slices < count:
        signal = np.asarray(signal @ _slabs(count, slices).T, np.float32)
    resolution = (acquisition.in_plane_mm, acquisition.in_plane_mm)
    window = acquisition_window(grid.shape[:2], spacing[:2], resolution)
    image = receive(signal, window, acquisition.noise, rng)
    if slices == count:
        return image
    # slice centres lie half a slice inside the ends, where the outermost slices are shown as they are
    position = np.clip((np.arange(count) + 0.5) * slices / count - 0.5, 0, slices - 1)
    first = np.minimum(position.astype(int), slices - 2)
    weights = np.zeros((count, slices), np.float32)
    weights[np.arange(count), first + 1] = position - first
    weights[np.arange(count), first] = 1.0 - (position - first)
    return np.asarray(image @ weights.T, np.float32)


def _slabs(count: int, slices: int) -> Float32:
    """(slices, count) weights that average `count` voxels in `slices` equal slabs."""
    edges = np.linspace(0.0, count, slices + 1)
    voxels = np.arange(count)
    overlap = np.minimum(edges[1:, None], voxels + 1.0) - np.maximum(edges[:-1, None], voxels)
    weights: Float32 = np.clip(overlap, 0.0, None).astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    return weights


def _brain_box(brain: Brain, grid: Grid) -> Box:
    """The voxels of a grid among which the brain lies, found at every 4 mm."""
    steps = [max(1, int(4.0 / s)) for s in grid.spacing_mm]
    axes = [np.append(np.arange(0, n - 1, step), n - 1) for n, step in zip(grid.shape, steps, strict=True)]
    inside = brain.stripped_at(grid.world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(float)))
    box = []
    for axis, (index, step, n) in enumerate(zip(axes, steps, grid.shape, strict=True)):
        others = tuple(a for a in range(3) if a != axis)
        found = index[(inside < 3.0).any(axis=others)]
        low, high = (found[0], found[-1]) if found.size else (0, n - 1)
        box.append(slice(max(0, int(low) - step), min(n, int(high) + step + 1)))
    return box[0], box[1], box[2]


def _cropped(grid: Grid, box: Box) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] = grid.world(np.array([float(side.start) for side in box]))
    shape = tuple(side.stop - side.start for side in box)
    return Grid((shape[0], shape[1], shape[2]), affine)
