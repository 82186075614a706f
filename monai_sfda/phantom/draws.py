"""Draws of single parameters: plain Python floats, so that float32 arrays stay float32 with every NumPy."""

from __future__ import annotations

import numpy as np

Point = tuple[float, float, float]
Seed = int | np.random.SeedSequence


def generators(seed: Seed, count: int) -> list[np.random.Generator]:
    """Independent generators; the same seed always gives the same ones.

    Spawning from a `SeedSequence` counts its children, so a second use of the same object would give others:
    a copy is spawned from.
    """
    if isinstance(seed, np.random.SeedSequence):
        copy = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key, pool_size=seed.pool_size)
    else:
        copy = np.random.SeedSequence(seed)
    return [np.random.default_rng(child) for child in copy.spawn(count)]


def normal(rng: np.random.Generator, mean: float, sd: float, limit: float = 2.0) -> float:
    """A normal number, cut off at `limit` standard deviations on either side."""
    return mean + sd * float(np.clip(rng.standard_normal(), -limit, limit))


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform number in [low, high)."""
    return float(rng.uniform(low, high))


def near(rng: np.random.Generator, point: Point, sd: Point | float) -> Point:
    """A point (mm) that scatters round `point` with the given standard deviations (mm)."""
    sx, sy, sz = (sd, sd, sd) if isinstance(sd, float) else sd
    return normal(rng, point[0], sx), normal(rng, point[1], sy), normal(rng, point[2], sz)


def mirrored(point: Point, side: int) -> Point:
    """A point given for the patient's right, moved to `side` (+1 right, -1 left)."""
    return side * point[0], point[1], point[2]
