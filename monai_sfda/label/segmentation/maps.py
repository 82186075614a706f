"""Uncertainty maps that clients have asked for, kept for a while under names that cannot be guessed."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.scan import Scan
from monai_sfda.data.writing import write_map
from monai_sfda.errors import DataError

ADDRESS = "/sfda/uncertainty/"
"""Before the key, in the result's parameters and on the server."""
_KEY = re.compile(r"[0-9a-f]{32}")


class UncertaintyMaps:
    """The last few maps, as NIfTI files in a folder that ends with the app.

    Args:
        most: so many are kept; the oldest goes first.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._folder = Path(tempfile.mkdtemp(prefix="uncertainty-"))
        self._files: OrderedDict[str, Path] = OrderedDict()
        self._guard = threading.Lock()

    def keep(self, entropy: NDArray[np.float32], scan: Scan) -> str:
        """Writes a map.

        Args:
            entropy: (X, Y, Z) float32, in nats.
            scan: on whose grid it lies.

        Returns:
            The address where a client fetches it.

        Raises:
            OutputError: when it cannot be written.
        """
        key = secrets.token_hex(16)
        path = self._folder / f"{key}.nii.gz"
        write_map(path, entropy, scan)
        with self._guard:
            self._files[key] = path
            while len(self._files) > self._most:
                self._files.popitem(last=False)[1].unlink(missing_ok=True)
        return ADDRESS + key

    def find(self, key: str) -> Path:
        """The file of a map.

        Raises:
            DataError: when there is none of that key, or no longer.
        """
        with self._guard:
            path = self._files.get(key) if _KEY.fullmatch(key) else None
        if path is None or not path.is_file():
            raise DataError(
                "the uncertainty map is not there (any more)",
                remedy="run the segmentation again with the option uncertainty",
            )
        return path

    def close(self) -> None:
        """Takes all maps away."""
        with self._guard:
            self._files.clear()
            shutil.rmtree(self._folder, ignore_errors=True)
