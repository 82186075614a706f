"""Whole scans of a split or a folder, read when asked for: what inference and evaluation walk through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from monai_sfda.catalog import Task, find_task
from monai_sfda.data.case import Case
from monai_sfda.data.listing import CaseList, list_cases, list_folder, read_case
from monai_sfda.data.scan import Scan
from monai_sfda.errors import report_errors_relative_to


class ScanDataset(Dataset[dict[str, Any]]):
    """Scans on their own grids; listed at the first access, read one at a time.

    Args:
        task: its name in the catalog, or the task itself where modalities were chosen.
        domain: `source` or `target`.
        folder: a download, or any folder of scans when `split` is None.
        split: `train`, `val` or `test` of the official layout or of `datalist`; None for a plain folder.
        datalist: JSON that replaces the official layout.
        labels: whether labels are read.

    Items:
        `case`, `scan`, and `label` where read.
    """

    def __init__(
        self,
        task: str | Task,
        domain: str,
        folder: str | Path,
        *,
        split: str | None = None,
        datalist: str | Path | None = None,
        labels: bool = False,
    ) -> None:
        self.task = find_task(task)
        self.domain = domain
        self.task.domain(domain)
        self.folder = Path(folder)
        self.split = split
        self.datalist = None if datalist is None else Path(datalist)
        self.labels = labels
        self._list: CaseList | None = None

    def list(self) -> CaseList:
        """The cases; a `DataError` when there are none."""
        if self._list is None:
            with report_errors_relative_to(self.folder):
                if self.split is None:
                    self._list = list_folder(
                        self.folder, self.task.domain(self.domain).channels, pictures=self.task.pictures
                    )
                else:
                    self._list = list_cases(
                        self.task,
                        self.domain,
                        self.split,
                        self.folder,
                        datalist=self.datalist,
                        labels=self.labels,
                    )
        return self._list

    @property
    def cases(self) -> Sequence[Case]:
        """All cases, in order."""
        return self.list().cases

    def read(self, case: Case) -> tuple[Scan, NDArray[np.uint8] | None]:
        """One case's scan, and its label where labels are read.

        Raises:
            DataError: when a file is bad.
        """
        with report_errors_relative_to(self.folder):
            return read_case(case, self.task, self.domain, with_label=self.labels)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case = self.cases[index]
        scan, label = self.read(case)
        return {"case": case, "scan": scan} | ({} if label is None else {"label": label})
