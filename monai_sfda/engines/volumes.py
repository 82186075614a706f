"""Walks a network over whole scans: what every such run has, and segmentation of a folder."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_sfda.catalog import BACKGROUND, Task, without_background
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.case import ENTROPY_ENDING, Case
from monai_sfda.data.listing import write_segmentation
from monai_sfda.data.picture import write_label_picture, write_map_picture
from monai_sfda.data.plausibility import doubt
from monai_sfda.data.scan import Scan
from monai_sfda.data.scans import ScanDataset
from monai_sfda.data.writing import write_map
from monai_sfda.engines.dicom_outputs import DicomSegmentations
from monai_sfda.engines.inference import SliceStackInferer, segment_scan
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.reference_scans import ScanComparison
from monai_sfda.engines.uncertainty import Prediction, predict_scan
from monai_sfda.errors import DataError, OutputError, SettingError
from monai_sfda.evaluation.metrics import largest_component
from monai_sfda.files import file_sha256, write_atomically, write_json
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.transforms import Preprocessing

logger = logging.getLogger(__name__)


@dataclass
class Segmenter:
    """A network with all that turns a scan into a segmentation.

    Attributes:
        network: in evaluation mode after construction.
        preprocessing: of the modality.
        inferer: slices to logits.
        device: where to compute.
        keep_largest: keep the largest connected component of each structure.
        labels: class names to indices.
    """

    network: SegmentationNetwork
    preprocessing: Preprocessing
    inferer: SliceStackInferer
    device: torch.device
    keep_largest: bool
    labels: dict[str, int]

    def __post_init__(self) -> None:
        if self.keep_largest:
            require_background(self.labels)
        self.inferer.stack_slices = self.preprocessing.stack_slices
        self.network = self.network.to(self.device).eval()

    def __call__(self, scan: Scan) -> NDArray[np.uint8]:
        """(X, Y, Z) classes on the scan's grid."""
        segmentation = segment_scan(scan, self.network, self.preprocessing, self.inferer, self.device)
        return largest_component(segmentation, self.labels) if self.keep_largest else segmentation

    def predict(self, scan: Scan, *, entropy: bool = False) -> Prediction:
        """The segmentation with how sure the network is of it; see `predict_scan`."""
        return predict_scan(
            scan,
            self.network,
            self.preprocessing,
            self.inferer,
            self.device,
            self.labels,
            keep_largest=self.keep_largest,
            entropy=entropy,
        )


def write_case_numbers(
    folder: Path, cases: Sequence[Case], root: Path, masks: Mapping[int, str] | None = None
) -> None:
    """`cases.csv`: which file a case number is, and its mask. Stays beside the run, for the site alone."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("case", "file", "series_uid", *(() if masks is None else ("mask",))))
    for case in cases:
        path = case.image[0]
        rows.writerow(
            (
                case.number,
                path.relative_to(root) if path.is_relative_to(root) else path,
                case.series_uid or "",
                *(() if masks is None else (masks.get(case.number, ""),)),
            )
        )
    write_atomically(folder / "cases.csv", text.getvalue().encode())


class VolumeRun:
    """A checkpoint and the scans to walk it over.

    Args:
        network: instance of the network definition; the checkpoint's weights are loaded into it when `run`
            starts.
        dataset: scans.
        preprocessing: of the domain's modality.
        inferer: slices to logits.
        checkpoint: bare state dict.
        device: where to compute.
        output_dir: the run folder.
        largest_component: keep the largest connected component of each structure alone.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        dataset: ScanDataset,
        preprocessing: Preprocessing,
        inferer: SliceStackInferer,
        *,
        checkpoint: str | Path | None,
        device: str,
        output_dir: str | Path,
        largest_component: bool = False,
    ) -> None:
        self.network, self.dataset, self.preprocessing, self.inferer = (
            network,
            dataset,
            preprocessing,
            inferer,
        )
        self.checkpoint, self.device, self.output_dir = checkpoint, device, Path(output_dir)
        self.largest_component = largest_component

    def segmenter(self) -> Segmenter:
        """The network with the checkpoint's weights.

        Raises:
            SettingError: when no checkpoint is given.
            CheckpointError: when it cannot be read or is of another network.
        """
        if self.checkpoint is None:
            raise SettingError(
                "no checkpoint is given", remedy="add --checkpoint with a model.pt or adapted.pt"
            )
        path = Path(self.checkpoint)
        load_into(self.network, load_weights(path), path.name)
        labels = self.dataset.task.labels
        device = torch.device(self.device)
        return Segmenter(
            self.network, self.preprocessing, self.inferer, device, self.largest_component, labels
        )


class VolumeSegmentation(VolumeRun):
    """Segments every scan of a folder, each on its own grid.

    Writes `<name>_seg.nii.gz` a scan (`<name>_seg.png` a picture), `inference.json` and `cases.csv`; with
    `dicom_seg` also `<name>_seg.dcm` a DICOM series, with `uncertainty` also `<name>_entropy.nii.gz` a scan
    (`<name>_entropy.tif` a picture). A bad scan does not stop the others: good ones are written, bad ones
    listed in `inference.json`, and `run` ends with an error that counts them.

    Args:
        dicom_seg: also write DICOM segmentations.
        uncertainty: also write the entropy of every voxel.
        arguments: of every run over volumes, see `VolumeRun`.
    """

    def __init__(
        self, *arguments: Any, dicom_seg: bool = False, uncertainty: bool = False, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self.dicom_seg, self.uncertainty = dicom_seg, uncertainty

    def run(self) -> dict[str, Any]:
        """Segments all scans; returns what `inference.json` holds.

        Raises:
            DataError: at the end, when some scans were bad; the good ones' masks are there.
            SettingError: when DICOM segmentations are asked for and cannot be had.
            OutputError: at the end, when some DICOM segmentations could not be written.
        """
        task = self.dataset.task
        suffix = "_seg.png" if task.pictures else "_seg.nii.gz"
        segmenter = self.segmenter()
        dicom = DicomSegmentations(task, Path(str(self.checkpoint))) if self.dicom_seg else None
        comparison = ScanComparison(task, self.dataset.domain, Path(str(self.checkpoint)))
        cases = self.dataset.cases
        scans: list[dict[str, Any]] = []
        errors: list[DataError] = []
        with progress_bar("segment") as progress:
            for done, case in enumerate(cases, start=1):
                try:
                    scan, _ = self.dataset.read(case)
                    with comparison.watching(scan, segmenter.network, segmenter.preprocessing):
                        predicted = self._segment(segmenter, scan, case)
                except DataError as error:
                    errors.append(error)
                    scans.append({"case": case.number, "error": error.what, "remedy": error.remedy})
                    logger.error("case %d: %s: %s", case.number, error.what, error.remedy)
                else:
                    entry: dict[str, Any] = {"case": case.number}
                    segmentation = predicted.classes
                    mask = self.output_dir / f"{case.name}{suffix}"
                    self._write_entropy(case, predicted, scan)
                    if task.pictures:
                        write_label_picture(mask, segmentation)
                        entry["share"] = shares(segmentation, task.labels)
                    else:
                        write_segmentation(mask, segmentation, scan)
                        entry["volume_ml"] = volumes_ml(segmentation, scan, task)
                    entry["confidence"] = {
                        name: None if found is None else found.to_json()
                        for name, found in predicted.confidence.items()
                    }
                    if dicom is not None:
                        path = self.output_dir / f"{case.name}_seg.dcm"
                        entry["dicom_seg"] = dicom.write(path, segmentation, scan, case)
                    unlike = doubt(scan.array, task.domain(self.dataset.domain).kind)
                    if unlike is not None:
                        entry["warning"] = unlike
                        logger.warning("case %d: %s", case.number, unlike)
                    scans.append(entry | comparison.judge(case.number))
                progress(done, len(cases))
        result = {
            "task": task.name,
            "domain": self.dataset.domain,
            "labels": task.labels,
            "checkpoint_sha256": file_sha256(Path(str(self.checkpoint))),
            "compared_with": comparison.to_json(),
            "scans": scans,
            "intended_use": "research; not for diagnosis",
        }
        masks = {
            scan["case"]: f"{case.name}{suffix}"
            for case, scan in zip(cases, scans, strict=True)
            if "error" not in scan
        }
        write_case_numbers(self.output_dir, cases, self.dataset.folder, masks)
        write_json(self.output_dir / "inference.json", result)
        if errors:
            first = errors[0]
            raise DataError(
                f"{len(errors)} of {len(cases)} scans could not be segmented, the first because {first.what}",
                path=first.path,
                root=first.root,
                remedy=first.remedy,
            )
        logger.info(
            "segmented %d scans; masks and inference.json are in the output folder\n%s",
            len(cases),
            comparison.in_words(),
        )
        if dicom is not None and dicom.errors:
            failed = dicom.errors[0]
            raise OutputError(
                f"{len(dicom.errors)} of {len(cases)} scans have a NIfTI mask and no DICOM segmentation, the "
                f"first because {failed.what}",
                path=failed.path,
                root=failed.root,
                remedy=failed.remedy,
            )
        return result

    def _write_entropy(self, case: Case, predicted: Prediction, scan: Scan) -> None:
        """The entropy of every voxel where it was asked for; else takes away that of an older mask."""
        pictures = self.dataset.task.pictures
        path = self.output_dir / f"{case.name}{ENTROPY_ENDING}{'.tif' if pictures else '.nii.gz'}"
        if predicted.entropy is None:
            path.unlink(missing_ok=True)
        elif pictures:
            write_map_picture(path, predicted.entropy)
        else:
            write_map(path, predicted.entropy, scan)

    def _segment(self, segmenter: Segmenter, scan: Scan, case: Case) -> Prediction:
        """The prediction; a `DataError` for a scan that the network cannot take."""
        try:
            return segmenter.predict(scan, entropy=self.uncertainty)
        except RuntimeError as error:
            raise DataError(
                f"the network cannot take a scan of {scan.array.shape[0]} channels "
                f"({str(error).splitlines()[0]})",
                path=case.image[0],
                root=case.root,
                remedy="give scans with the channels that the model was trained with",
            ) from error


def volumes_ml(segmentation: NDArray[np.uint8], scan: Scan, task: Task) -> dict[str, float]:
    """Volume of each structure and region, in ml."""
    labels = task.labels
    voxel_ml = float(abs(np.linalg.det(scan.affine[:3, :3]))) / 1000
    counts = np.bincount(segmentation.ravel(), minlength=max(labels.values()) + 1)
    structures = without_background(task.labels)
    volumes = {name: float(counts[index]) * voxel_ml for name, index in structures.items()}
    return {name: round(volume, 3) for name, volume in task.with_regions(volumes).items()}


def require_background(labels: Mapping[str, int]) -> None:
    """Refuses to keep the largest component alone where there is no background to leave behind.

    Raises:
        SettingError: in a task of pictures.
    """
    if BACKGROUND not in labels:
        raise SettingError(
            "largest_component leaves background behind, and the task has none",
            remedy="leave largest_component out",
        )


def shares(segmentation: NDArray[np.uint8], labels: dict[str, int]) -> dict[str, float]:
    """Share of each class in a picture's pixels."""
    counts = np.bincount(segmentation.ravel(), minlength=max(labels.values()) + 1)
    return {name: round(float(counts[index]) / segmentation.size, 6) for name, index in labels.items()}
