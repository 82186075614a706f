"""Live progress of a job from what its run writes: the log's line an epoch, and the record at its end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from monai_sfda.label.adaptation.reasons import tail

_EPOCH = re.compile(r": epoch (\d+) of (\d+), iteration (\d+): (.*)$")
_LOSS = re.compile(r"([a-z][a-z_0-9]*) (-?[0-9.]+(?:e[+-]?\d+)?)(?:, |$)")
_PHASES = (
    ("reading scans", "reading the studies"),
    (": epoch ", "learning"),
    ("guard: looking", "the guard compares the weights"),
    ("reference scans", "writing the results"),
    ("comparing on held-out", "comparing on held-out studies"),
    ("guard: ", "writing the results"),
)


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch, total_epochs: done, and in all; 0 and None before the first is done.
        iteration: steps done.
        losses: name to the latest value, as the method calls them.
        phase: what is being done, in words; empty where nothing was said yet.
    """

    epoch: int = 0
    total_epochs: int | None = None
    iteration: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    phase: str = ""


def read_progress(log: Path) -> Progress:
    """What the end of a log says; nothing that names a scan is taken from it."""
    progress, phase = Progress(), ""
    for line in re.split(r"[\r\n]+", tail(log)):
        if found := _EPOCH.search(line):
            losses = {name: float(value) for name, value in _LOSS.findall(found[4])}
            progress = Progress(int(found[1]), int(found[2]), int(found[3]), losses)
        phase = next((words for mark, words in _PHASES if mark in line), phase)
    return Progress(progress.epoch, progress.total_epochs, progress.iteration, progress.losses, phase)


def log_lines(log: Path, most: int = 20) -> list[str]:
    """The latest lines about epochs, the only ones of a log that are served."""
    found = [m for line in tail(log).splitlines() if (m := _EPOCH.search(line))]
    return [
        f"epoch {m[1]} of {m[2]}, iteration {m[3]}: {', '.join(map(' '.join, _LOSS.findall(m[4])))}"
        for m in found
    ][-most:]
