"""The guard's signals of every candidate of a run, on the scans that are the guard's."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from monai_sfda.candidate_names import LAST, UNADAPTED, candidate_name
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.candidate_signals import SourceKnowledge, signals_of_scans
from monai_sfda.engines.progress import progress_bar
from monai_sfda.files import cannot_write
from monai_sfda.guard.candidate import Candidate
from monai_sfda.guard.signals import ScanSignals
from monai_sfda.networks import SegmentationNetwork

_NOTHING = np.zeros((0, 0, 0), np.uint8)


def score_candidates(
    before: SegmentationNetwork,
    after: SegmentationNetwork,
    kept: Mapping[int, Path],
    epochs: int,
    dataset: StackDataset,
    numbers: Sequence[int],
    knowledge: SourceKnowledge,
    *,
    device: torch.device,
    batch_size: int,
    seed: int,
) -> tuple[Candidate, list[Candidate]]:
    """Walks the unadapted network and every candidate over the guard's scans, one scan at a time.

    The unadapted network's segmentations, which the others are compared with, wait in a temporary file, and
    of every scan the signals alone are kept: memory does not grow with the number of scans.

    Args:
        before: the unadapted network.
        after: the network as the method left it.
        kept: epoch to the weights that were kept at its end.
        epochs: of the run.
        dataset: target stacks.
        numbers: case numbers of the guard's scans.
        knowledge: of the source.
        device, batch_size, seed: as in `signals_of_scans`.

    Returns:
        The unadapted network, and the candidates in the order of the run, the last at its end.

    Raises:
        CheckpointError: when weights that were kept are missing or damaged.
        OutputError: when the temporary file finds no room.
    """
    places = [place for place, volume in enumerate(dataset.volumes) if volume.case.number in numbers]
    total = len(places) * (len(kept) + 2)
    with progress_bar("guard: looking at candidates") as progress, TemporaryFile() as spool:

        def walk(network: SegmentationNetwork, rank: int) -> Iterator[ScanSignals]:
            spool.seek(0)
            for i, place in enumerate(places):
                (scan,) = signals_of_scans(
                    network,
                    dataset,
                    [place],
                    knowledge,
                    device=device,
                    batch_size=batch_size,
                    seed=seed,
                    beside=[np.load(spool)] if rank else None,
                )
                if not rank:
                    _keep(scan.segmentation, spool)
                progress(rank * len(places) + i + 1, total)
                yield replace(scan, segmentation=_NOTHING)

        unadapted = Candidate(UNADAPTED, 0, list(walk(before.to(device), 0)))
        networks = _networks(before, after.to(device), kept, epochs)
        candidates = [
            Candidate(name, epoch, list(walk(network, rank)))
            for rank, (name, epoch, network) in enumerate(networks, start=1)
        ]
    return unadapted, candidates


def _keep(segmentation: NDArray[np.uint8], spool: IO[bytes]) -> None:
    try:
        np.save(spool, segmentation)
        spool.flush()
    except OSError as error:
        raise cannot_write(Path(gettempdir()), error) from error


def _networks(
    before: SegmentationNetwork, after: SegmentationNetwork, kept: Mapping[int, Path], epochs: int
) -> Iterator[tuple[str, int, SegmentationNetwork]]:
    """Name, epoch and network of each candidate; one on the way is gone when the next comes."""
    on_the_way = copy.deepcopy(before)
    for epoch, path in kept.items():
        load_into(on_the_way, load_weights(path), path)
        yield candidate_name(epoch), epoch, on_the_way
    yield LAST, epochs, after
