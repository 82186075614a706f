"""Keeps the chatter of the file libraries (invalid UIDs, odd values) out of the user's terminal."""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK as sitk  # noqa: N813

_LOCK = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of pydicom, ITK and GDCM inside this block.

    Warning filters and ITK's display switch belong to the whole process, so one thread at a time is inside;
    keep the block short. What is wrong with a header and matters is raised as an error by the readers.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?$")
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)
