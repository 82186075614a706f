"""A real Orthanc for tests of the app: Debian's, on a free port of loopback, empty at the start.

Use it by importing the fixture (`from tests.label.orthanc import orthanc  # noqa: F401`) or, with a scope of
your own, by `with started(folder) as orthanc:`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from monai_sfda.label.demo.orthanc import Orthanc, missing, started_orthanc


def started(folder: Path) -> AbstractContextManager[Orthanc]:
    """Orthanc for as long as the block lasts; skips the test where it is not installed."""
    absent = missing()
    if absent:
        pytest.skip(absent)
    return started_orthanc(folder)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory) -> Iterator[Orthanc]:
    """An Orthanc for a module's tests."""
    with started(tmp_path_factory.mktemp("orthanc")) as running:
        yield running
