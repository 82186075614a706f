"""A version of a model in memory, ready to segment scans."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray

from monai_sfda.data.plausibility import doubt
from monai_sfda.data.scan import Scan
from monai_sfda.engines.inference import plane_probabilities
from monai_sfda.engines.shift import ShiftScorer
from monai_sfda.engines.uncertainty import Prediction, predict_scan
from monai_sfda.engines.volumes import Segmenter, VolumeSegmentation
from monai_sfda.errors import DataError, SfdaError, StoreError
from monai_sfda.files import file_sha256
from monai_sfda.guard import Familiarity, ScanObserver, compare
from monai_sfda.guard.reference_file import find_reference
from monai_sfda.label.models.installed import DOMAIN, InstalledModel
from monai_sfda.label.models.reading import read_scan
from monai_sfda.label.models.volumes import volumes_ml
from monai_sfda.store import Version


@dataclass(frozen=True)
class Segmentation:
    """A scan's segmentation and what is known of it.

    Attributes:
        prediction: classes, confidence, and entropy where it was asked for.
        familiarity: how far the scan is from those that the model knows; None where it knows none.
        volumes_ml: of each structure and region.
        doubt: why the values look like another modality's; None when they do not.
    """

    prediction: Prediction
    familiarity: Familiarity | None
    volumes_ml: Mapping[str, float]
    doubt: str | None


@dataclass(frozen=True)
class LoadedModel:
    """A version's network with all that turns a scan into a segmentation. Threads may share it.

    Attributes:
        installed: the model.
        version: which of its versions.
        segmenter: network, preprocessing of the target's modality, inferer, device.
        scorer: of the domain shift; None where the version does not say what scans it knows.
        unknown: why there is no scorer, in words; empty where there is one.
        sha256: of the weights.
        most_voxels: of a scan that is read.
        lock: round the network; whoever uses the segmenter's parts by himself holds it.
    """

    installed: InstalledModel
    version: Version
    segmenter: Segmenter
    scorer: ShiftScorer | None
    unknown: str
    sha256: str
    most_voxels: int | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @staticmethod
    def load(
        installed: InstalledModel, version: Version, device: str, *, most_voxels: int | None = None
    ) -> LoadedModel:
        """Reads a version, after its hashes were verified.

        Args:
            installed: the model.
            version: of it.
            device: where it computes.
            most_voxels: of a scan that it reads.

        Raises:
            StoreError: when files of the version are missing or altered, or its bundle makes no segmentation.
            CheckpointError: when the weights are of another network.
        """
        name = f"version {version.number} of '{installed.name}'"
        if faults := [*_manifest_faults(installed, version), *version.faults()]:
            more = f" ({len(faults) - 1} more faults)" if len(faults) > 1 else ""
            raise StoreError(
                f"{name} is damaged: {faults[0]}{more}",
                remedy="put its folder back from a backup, or activate another version",
            )
        run = _evaluator(version, device, name)
        weights = version.bundle / "models" / "model.pt"
        segmenter = run.segmenter()
        reference, unknown = find_reference(weights)
        scorer = None
        if reference is not None:
            scorer = ShiftScorer(
                segmenter.network,
                reference,
                installed.task,
                segmenter.preprocessing,
                segmenter.inferer,
                segmenter.device,
            )
        return LoadedModel(
            installed, version, segmenter, scorer, unknown, file_sha256(weights), most_voxels=most_voxels
        )

    def read(self, image: Path) -> Scan:
        """A scan of the datastore; see `read_scan`."""
        return read_scan(Path(image), self.installed.task, most_voxels=self.most_voxels)

    def segment(self, scan: Scan, *, largest_component: bool = False, entropy: bool = False) -> Segmentation:
        """A scan's segmentation with volumes, confidence and familiarity, of one pass over its slices.

        Args:
            scan: of the target's modality.
            largest_component: keep the largest connected component of each structure alone.
            entropy: whether the entropy of every voxel is wanted.

        Raises:
            DataError: when the network cannot take the scan.
        """
        observer = self._observer(scan)
        with self._computing(scan), nullcontext() if observer is None else observer.watching():
            prediction = self._predict(scan, largest_component, entropy)
        task = self.installed.task
        familiarity = None
        if observer is not None and self.scorer is not None:
            familiarity = compare(observer.profile(), self.scorer.reference, task.labels)
        return Segmentation(
            prediction,
            familiarity,
            volumes_ml(prediction.classes, scan, task),
            doubt(scan.array, task.domain(DOMAIN).kind),
        )

    def predict(self, scan: Scan, *, largest_component: bool = False, entropy: bool = False) -> Prediction:
        """A scan's segmentation and confidence alone; arguments and errors as of `segment`."""
        with self._computing(scan):
            return self._predict(scan, largest_component, entropy)

    def probabilities(self, scan: Scan) -> NDArray[np.float32]:
        """Class probabilities (K + 1, X, Y, Z) float32 on the scan's own grid, background first.

        Their most probable class is the segmentation, voxel by voxel.

        Raises:
            DataError: as of `segment`.
        """
        segmenter = self.segmenter
        slices, grid = segmenter.preprocessing.image(scan.array, scan.affine)
        volume = np.empty((len(segmenter.labels), *scan.shape), np.float32)
        planes, done = grid.view_slices(volume), 0
        with self._computing(scan):
            for p in plane_probabilities(
                slices, segmenter.network, segmenter.inferer, segmenter.device, grid.plane_shape
            ):
                planes[done : done + p.shape[0]] = p.cpu().numpy()
                done += p.shape[0]
        return volume

    def familiarity(self, scan: Scan) -> Familiarity | None:
        """How far a scan is from those that the model knows; None where it knows none.

        Raises:
            DataError: as of `segment`.
        """
        if self.scorer is None:
            return None
        with self._computing(scan):
            return self.scorer(scan)

    def _predict(self, scan: Scan, largest_component: bool, entropy: bool) -> Prediction:
        segmenter = self.segmenter
        return predict_scan(
            scan,
            segmenter.network,
            segmenter.preprocessing,
            segmenter.inferer,
            segmenter.device,
            segmenter.labels,
            keep_largest=largest_component,
            entropy=entropy,
        )

    def _observer(self, scan: Scan) -> ScanObserver | None:
        if self.scorer is None:
            return None
        grid = self.segmenter.preprocessing.grid(scan.shape, scan.affine)
        return ScanObserver(self.segmenter.network, grid, sized=True)

    @contextmanager
    def _computing(self, scan: Scan) -> Iterator[None]:
        """Holds the network; what it cannot take becomes an error of the scan."""
        with self.lock:
            try:
                yield
            except torch.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                raise DataError(
                    "the device's memory does not suffice for the scan",
                    remedy="try again when no adaptation is running, or with device cpu",
                ) from error
            except RuntimeError as error:
                raise DataError(
                    f"the network cannot take a scan of {scan.array.shape[0]} channels and "
                    f"{' x '.join(map(str, scan.shape))} voxels",
                    remedy="give scans such as the model was trained with",
                ) from error


def _manifest_faults(installed: InstalledModel, version: Version) -> list[str]:
    """Whether the manifest, by which all other files are judged, is the one that was published."""
    published = (
        change.get("manifest_sha256")
        for change in installed.store.log(installed.name).changes
        if change["action"] == "publish" and change["version"] == version.number
    )
    altered = next(published, None) not in (None, version.manifest_sha256)
    return ["manifest.json was altered"] if altered else []


def _evaluator(version: Version, device: str, name: str) -> VolumeSegmentation:
    """What segments, from the version's own inference.json, which the store's hashes vouch for."""
    parser = ConfigParser()
    try:
        parser.read_config(str(version.bundle / "configs" / "inference.json"))
        for key, value in {
            "bundle_root": str(version.bundle),
            "dataset_dir": str(version.bundle),
            "checkpoint": str(version.bundle / "models" / "model.pt"),
            "domain": DOMAIN,
            "device": device,
            "largest_component": False,
        }.items():
            parser[key] = value
        run = parser.get_parsed_content("evaluator")
    except SfdaError:
        raise
    except Exception as error:
        cause = error.__cause__
        while cause is not None:
            if isinstance(cause, SfdaError):
                raise cause from error
            cause = cause.__cause__
        raise StoreError(
            f"{name} cannot be made ({type(error).__name__})",
            remedy="train or adapt it again with this version of monai_sfda",
        ) from error
    if not isinstance(run, VolumeSegmentation):
        raise StoreError(
            f"{name} has a {type(run).__name__} for an evaluator",
            remedy="publish a bundle that train.json or adapt.json of this package wrote",
        )
    return run
