"""What the model says of the scans that are being corrected, kept while they are.

Corrections of one scan come one after another; the network runs at the first of them alone.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError
from monai_sfda.label.models import LoadedModel

MOST_BYTES = 1 << 30
"""Of scans and probabilities that are kept; the one in use stays in any case."""


@dataclass(frozen=True, eq=False)
class Known:
    """A scan and what the model says of it.

    Attributes:
        scan: as read.
        classes: (X, Y, Z) uint8, the model's own segmentation.
    """

    scan: Scan
    classes: NDArray[np.uint8]
    _bytes: NDArray[np.uint8]  # (K + 1, X, Y, Z), probabilities in 255ths

    @staticmethod
    def of(loaded: LoadedModel, scan: Scan) -> Known:
        """Runs the network."""
        probabilities = loaded.probabilities(scan)
        classes = np.zeros(scan.shape, np.uint8)
        highest = probabilities[0].copy()
        rounded = np.empty(probabilities.shape, np.uint8)
        for index, probability in enumerate(probabilities):
            higher = probability > highest
            classes[higher] = index
            np.maximum(highest, probability, out=highest)
            rounded[index] = probability * np.float32(255) + np.float32(0.5)
        return Known(scan, classes, rounded)

    def probability(self, index: int) -> NDArray[np.float32]:
        """(X, Y, Z) of one class, in steps of 1/255."""
        return np.asarray(self._bytes[index], np.float32) / np.float32(255)

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return int(self.scan.array.nbytes + self.classes.nbytes + self._bytes.nbytes)


class KnownScans:
    """The scans that were corrected last. Threads may share it; one scan is computed once.

    Args:
        most_bytes: of all that is kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._lock = threading.Lock()
        self._computing: dict[tuple[str, str], threading.Lock] = {}

    def __call__(self, loaded: LoadedModel, image: Path) -> Known:
        """The scan of a datastore and what a version of a model says of it.

        Raises:
            DataError: when the scan cannot be read or segmented.
        """
        key = (loaded.sha256, _identity(image))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            computing = self._computing.setdefault(key, threading.Lock())
        with computing:
            with self._lock:
                if key in self._known:
                    return self._known[key]
            try:
                known = Known.of(loaded, loaded.read(image))
                self._keep(key, known)
            finally:
                with self._lock:
                    self._computing.pop(key, None)
        return known

    def _keep(self, key: tuple[str, str], known: Known) -> None:
        with self._lock:
            self._known[key] = known
            while len(self._known) > 1 and sum(k.nbytes for k in self._known.values()) > self._most_bytes:
                self._known.popitem(last=False)


def _identity(image: Path) -> str:
    """Tells a scan's files from others, and from themselves after a change: names, sizes, times of change."""
    try:
        if image.is_dir():
            with os.scandir(image) as entries:
                files = sorted((entry.name, entry.stat()) for entry in entries if entry.is_file())
        else:
            files = [(image.name, image.stat())]
    except OSError as error:
        raise DataError(
            f"the scan cannot be read ({type(error).__name__})", remedy="look at the study in the datastore"
        ) from None
    return repr((str(image), [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]))
