"""What a trained source model releases beside its weights: class prototypes, class ratios and an atlas."""

from __future__ import annotations

from collections.abc import Callable

import torch

from monai_sfda import processes
from monai_sfda.atlas import Atlas, AtlasFit
from monai_sfda.body_coordinates import BodyCoordinates, body_coordinates
from monai_sfda.catalog import IGNORED
from monai_sfda.catalog.coding import ANATOMICAL_STRUCTURE
from monai_sfda.data.cache import CachedVolume
from monai_sfda.data.stacks import StackDataset
from monai_sfda.disclosure import MINIMUM_SUBJECTS, enough_subjects
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.prototype_fit import PrototypeFit
from monai_sfda.release import ClassRatio


def fit_prototypes(
    network: SegmentationNetwork,
    dataset: StackDataset,
    *,
    device: torch.device | str,
    batch_size: int,
    rho: float = 0.97,
    progress: Callable[[int, int], None] | None = None,
) -> PrototypeFit:
    """One pass over all labelled slices, without augmentation, the network in evaluation mode.

    Several processes take turns at the volumes; each gets the fit of all.

    Args:
        network: trained, on `device`.
        dataset: labelled stacks.
        device: where to compute.
        batch_size: slices at once.
        rho: confidence threshold.
        progress: called with (slices done, slices in all).
    """
    fit = PrototypeFit(network.num_classes, network.embedding_channels, rho)
    network.eval()
    done = 0
    with torch.inference_mode():
        for number, volume in enumerate(dataset.volumes):
            if number % processes.count() != processes.rank():
                done += volume.num_slices
                continue
            for start in range(0, volume.num_slices, batch_size):
                indices = range(done + start, done + min(start + batch_size, volume.num_slices))
                items = [dataset[i] for i in indices]
                z = network.features(torch.stack([item["image"] for item in items]).to(device))
                probabilities = network.classify(z).softmax(1)
                label = torch.stack([item["label"] for item in items]).to(device)
                fit.update(
                    z.movedim(1, -1).flatten(0, -2),
                    probabilities.movedim(1, -1).flatten(0, -2),
                    label.flatten(),
                    volume.case.subject,
                )
            done += volume.num_slices
            if progress is not None:
                progress(done, len(dataset))
    fits = processes.gather(fit)
    for other in fits[1:]:
        fits[0].merge(other)
    return fits[0]


def fit_atlas(dataset: StackDataset) -> Atlas | None:
    """The atlas of all labelled volumes; None with fewer than `MINIMUM_SUBJECTS` subjects.

    Args:
        dataset: labelled stacks.
    """
    task = dataset.task
    anchors = [
        s.index for s in task.structures if s.coding is not None and s.coding.category == ANATOMICAL_STRUCTURE
    ]
    fit = AtlasFit(
        len(task.labels),
        [s.index for s in task.structures],
        anchors,
        mirrored=task.mirrored_classes,
        pictures=task.pictures,
    )
    of_subject: dict[str, list[CachedVolume]] = {}
    for volume in dataset.volumes:
        of_subject.setdefault(volume.case.subject, []).append(volume)
    for volumes in of_subject.values():
        fit.add_subject(
            [
                (_seen_label(volume), volume_coordinates(volume, dataset.preprocessing.stack_slices))
                for volume in volumes
            ]
        )
    return fit.finish(list(task.labels))


def volume_coordinates(volume: CachedVolume, stack_slices: int) -> BodyCoordinates:
    """Body coordinates of what a volume's stacks show.

    Args:
        volume: a preprocessed scan.
        stack_slices: n, slices a stack.
    """
    rows, columns = volume.field_of_view
    first = stack_slices // 2
    image = volume.image[:, first : first + volume.num_slices, rows, columns]
    return body_coordinates(image, volume.seen_grid, pictures=volume.voxel_ml is None)


def _seen_label(volume: CachedVolume) -> torch.Tensor:
    """(S, H, W) without the padding."""
    assert volume.label is not None  # the source's stacks read labels
    return volume.label[(slice(None), 0, *volume.field_of_view)]


def class_ratio(dataset: StackDataset, num_classes: int) -> ClassRatio | None:
    """Share of each class in each subject's pixels, and in its slices that show the class, over subjects.

    Ignored pixels do not count. Neither do those of a class that too few subjects show
    (`enough_subjects`): the mean over all subjects of what one of them has is that one's value, over their
    number, and shares that sum to 1 would tell it even where it is left out itself.

    None with fewer than `MINIMUM_SUBJECTS`: a mean of one subject is that subject's value.
    """
    slices: dict[str, list[torch.Tensor]] = {}
    for volume in dataset.volumes:
        if volume.label is not None:
            of_slice = [
                torch.bincount(plane[plane != IGNORED], minlength=num_classes) for plane in volume.label
            ]
            slices.setdefault(volume.case.subject, []).append(torch.stack(of_slice).double())
    if len(slices) < MINIMUM_SUBJECTS:
        return None
    counts = [torch.cat(of_subject) for of_subject in slices.values()]
    shares = torch.stack([_shares(count).mean(0) for count in counts])
    known = torch.tensor([enough_subjects(column) for column in shares.T.tolist()])
    by_slice = [_shares(count * known) for count in counts]
    ratios = torch.stack([share.mean(0) for share in by_slice])
    shown_by = (shares > 0).sum(0).tolist()
    return ClassRatio(
        tuple(ratios.mean(0).tolist()),
        tuple(ratios.std(0, correction=0).tolist()),
        len(by_slice),
        tuple(
            _where_present([share[:, k] for share in by_slice]) if keep else None
            for k, keep in enumerate(known.tolist())
        ),
        tuple(n if keep else None for n, keep in zip(shown_by, known.tolist(), strict=True)),
    )


def _shares(counts: torch.Tensor) -> torch.Tensor:
    """(S, K) pixels of each class in each slice to their shares in it; 0 for a slice without any."""
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def _where_present(shares: list[torch.Tensor]) -> float:
    """Mean over the subjects that show a class of its mean share in the slices that show it."""
    shown = [float(share[share > 0].mean()) for share in shares if bool((share > 0).any())]
    return sum(shown) / len(shown)
