"""All 2.5D stacks of a list of scans: read once, cached as volumes, handed out as views."""

from __future__ import annotations

import builtins
import copy
import hashlib
import logging
import math
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from monai_sfda import processes
from monai_sfda.catalog import Task, find_task
from monai_sfda.data.cache import CachedVolume, VolumeCache, machine_cache
from monai_sfda.data.case import Case
from monai_sfda.data.content import content_of, refuse_copies
from monai_sfda.data.listing import CaseList, list_cases, list_folder
from monai_sfda.data.plausibility import doubt
from monai_sfda.data.reading import raise_first, read_case
from monai_sfda.errors import DataError, SettingError, report_errors_relative_to
from monai_sfda.transforms import (
    Preprocessing,
    SliceGrid,
    clamp_edges,
    pad_plane,
    preprocessing_for,
    stack_view,
)

logger = logging.getLogger(__name__)


class StackDataset(Dataset[dict[str, Any]]):
    """Slices of a domain's scans as network input; nothing is listed or read before `prepare` or the first
    access.

    Args:
        task: its name in the catalog, or the task itself where modalities were chosen.
        domain: `source` or `target`.
        split: `train`, `val` or `test`.
        dataset_dir: folder with the unpacked download.
        datalist: JSON that replaces the official layout.
        images: a plain folder of scans that replaces both; its scans have no labels.
        labels: whether labels are read. Without, no label file is ever opened.
        image_size: (H, W) of the stacks, in pixels; smaller slices are padded, larger ones cut at the centre.
            Pictures are resampled to it.
        pixel_size_mm: in-plane pixel size.
        stack_slices: n, slices a stack.
        slice_axis: None for the task's own.
        threads: readers at once.

    Attributes:
        doubts: scans whose values look like those of another modality, in words; filled by `prepare`.

    Items:
        `image` (C * n, H, W) float32 (a view of the cached volume when C is 1), `label` (1, H, W) uint8 where
        read, `case` and `slice` numbers.
    """

    def __init__(
        self,
        task: str | Task,
        domain: str,
        split: str,
        dataset_dir: str | Path,
        *,
        datalist: str | Path | None = None,
        images: str | Path | None = None,
        labels: bool = True,
        image_size: int | Sequence[int] = 256,
        pixel_size_mm: float | None = None,
        stack_slices: int | None = None,
        slice_axis: int | None = None,
        threads: int = 4,
    ) -> None:
        self.task = find_task(task)
        self.domain = domain
        self.split = split
        self.dataset_dir = Path(dataset_dir)
        self.datalist = None if datalist is None else Path(datalist)
        self.images = None if images is None else Path(images)
        self.labels = labels
        self.image_size = (
            (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])
        )
        self.preprocessing: Preprocessing = preprocessing_for(
            self.task,
            self.task.domain(domain),
            pixel_size_mm=pixel_size_mm,
            stack_slices=stack_slices,
            slice_axis=slice_axis,
            image_size=self.image_size,
        )
        self.threads = threads
        self.doubts: builtins.list[str] = []
        self._list: CaseList | None = None
        self._whole: StackDataset | None = None
        self._volumes: builtins.list[CachedVolume] = []
        self._starts: NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    @property
    def root(self) -> Path:
        """The folder that the user gave: files in messages are named relative to it."""
        return self.dataset_dir if self.images is None else self.images

    def list(self) -> CaseList:
        """The cases, listed at the first call.

        Raises:
            DataError: when the folder, the layout or the split has none.
        """
        if self._list is None:
            with report_errors_relative_to(self.root):
                if self.images is not None:
                    self._list = list_folder(
                        self.images, self.task.domain(self.domain).channels, pictures=self.task.pictures
                    )
                else:
                    self._list = list_cases(
                        self.task,
                        self.domain,
                        self.split,
                        self.dataset_dir,
                        datalist=self.datalist,
                        labels=self.labels,
                    )
            for warning in self._list.warnings:
                logger.warning(warning)
        return self._list

    def only(self, number: int) -> None:
        """Cuts the list to the case of that number, which it keeps; no other is read, and none is missing.

        Raises:
            SettingError: when there is no such case, or scans have been read already.
        """
        cases = [case for case in self.list().cases if case.number == number]
        if not cases or self._volumes:
            raise SettingError(
                f"scan {number} cannot be chosen of {len(self.list().cases)}",
                remedy="choose a listed scan, before any is read",
            )
        self._list = replace(self.list(), cases=tuple(cases), missing=())

    def part(self, numbers: Collection[int]) -> StackDataset:
        """The cases of some numbers as stacks of their own, which keep them. Scans are read once: together.

        Args:
            numbers: of listed cases; one at least.
        """
        part = copy.copy(self)
        part._whole = self
        part._list = replace(
            self.list(), cases=tuple(case for case in self.list().cases if case.number in numbers)
        )
        part._hold(self._volumes)
        return part

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Reads, checks and caches all scans; a no-op when done. The processes of a machine share the work.

        Args:
            progress: called with (scans done, scans in all).

        Raises:
            DataError: the first bad scan's, with how many more are bad; all scans are looked at.
        """
        if self._volumes:
            return
        if self._whole is not None:
            self._whole.prepare(progress)
            self._hold(self._whole.volumes)
            return
        cases = self.list().cases
        _, process, together = processes.local()
        mine = range(process, len(cases), together)
        with report_errors_relative_to(self.root):
            with machine_cache() as cache, ThreadPoolExecutor(self.threads) as readers:
                reading = [readers.submit(self._read_into, cache, i, cases[i]) for i in mine]
                try:
                    for done, future in enumerate(reading, start=1):
                        future.result()
                        if progress is not None:
                            progress(done, len(mine))
                finally:
                    readers.shutdown(cancel_futures=True)
                everything = [volume for _, volume in sorted(cache.volumes().items())]
            raise_first([error for error in everything if isinstance(error, DataError)], len(cases))
            volumes = [volume for volume in everything if isinstance(volume, CachedVolume)]
            for volume in volumes:
                if volume.doubt is not None:
                    self.doubts.append(f"scan {volume.case.number}: {volume.doubt}")
                    logger.warning(self.doubts[-1])
            if self.images is None and not self.task.pictures:
                refuse_copies((volume.case, volume.content) for volume in volumes)
            for volume in volumes:
                if volume.image.shape[0] != volumes[0].image.shape[0]:
                    raise DataError(
                        f"{len(volume.image)} channels where the first scan has {len(volumes[0].image)}",
                        path=volume.case.image[0],
                        remedy="list the same channels for every scan",
                    )
        self._hold(volumes)

    def _hold(self, volumes: Sequence[CachedVolume]) -> None:
        """Takes the volumes of its own cases."""
        numbers = {case.number for case in self.list().cases}
        self._volumes = [volume for volume in volumes if volume.case.number in numbers]
        self._starts = np.cumsum([0, *(volume.num_slices for volume in self._volumes)])

    def _read_into(self, cache: VolumeCache, number: int, case: Case) -> None:
        try:
            cache.put(number, self._read(case))
        except DataError as error:
            cache.put(number, error)

    def _read(self, case: Case) -> CachedVolume:
        scan, label = read_case(case, self.task, self.domain, with_label=self.labels)
        data = {"image": scan.array, "affine": scan.affine} | (
            {} if label is None else {"label": label[None]}
        )
        data = self.preprocessing.transform("image", () if label is None else "label")(data)
        image = data["image"]
        padded, _ = pad_plane(image, self.image_size, float(image.min()))
        n = self.preprocessing.stack_slices
        slices = None
        if label is not None:
            slices = self._centre(pad_plane(data["label"], self.image_size, 0)[0]).contiguous()
        grid: SliceGrid = data["grid"]
        voxel_ml = None
        if not self.task.pictures:
            scan_voxel_ml = float(abs(np.linalg.det(scan.affine[:3, :3]))) / 1000
            voxel_ml = scan_voxel_ml * math.prod(grid.plane_shape) / math.prod(grid.sampled_shape)
        return CachedVolume(
            case,
            clamp_edges(self._centre(padded), n),
            slices,
            num_slices=image.shape[0],
            plane_shape=grid.sampled_shape,
            voxel_ml=voxel_ml,
            grid=grid,
            doubt=doubt(scan.array, self.task.domain(self.domain).kind),
            content=content_of(scan.array),
        )

    def _centre(self, slices: Tensor) -> Tensor:
        top, left = (
            (have - want) // 2 for have, want in zip(slices.shape[-2:], self.image_size, strict=True)
        )
        return slices[..., top : top + self.image_size[0], left : left + self.image_size[1]]

    def __len__(self) -> int:
        self.prepare()
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.prepare()
        if not 0 <= index < int(self._starts[-1]):
            raise IndexError(index)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        volume, position = self._volumes[number], index - int(self._starts[number])
        stack = stack_view(volume.image, position, self.preprocessing.stack_slices)
        item: dict[str, Any] = {"image": stack.flatten(0, 1), "case": volume.case.number, "slice": position}
        if volume.label is not None:
            item["label"] = volume.label[position]
        return item

    def digest(self) -> str:
        """A hash of all that the cache holds: equal only for the same scans, preprocessed in the same way."""
        total = hashlib.sha256()
        for volume in self.volumes:
            for tensor in (volume.image, volume.label):
                if tensor is not None:
                    total.update(str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
        return total.hexdigest()

    @property
    def volumes(self) -> Sequence[CachedVolume]:
        """The cached volumes."""
        self.prepare()
        return self._volumes

    def presence(self) -> NDArray[np.bool_] | None:
        """(slices, structures): which structures a slice's label shows; None without labels."""
        if not self.labels:
            return None
        classes = len(self.task.structures)
        rows = [
            (volume.label == structure.index).flatten(1).any(dim=1).numpy()
            for volume in self.volumes
            for structure in self.task.structures
            if volume.label is not None
        ]
        per_volume = [np.stack(rows[i : i + classes], axis=1) for i in range(0, len(rows), classes)]
        presence: NDArray[np.bool_] = np.concatenate(per_volume)
        return presence

    def subject_of(self, index: int) -> str:
        """The subject that a slice belongs to."""
        return self._volumes[int(np.searchsorted(self._starts, index, side="right")) - 1].case.subject
