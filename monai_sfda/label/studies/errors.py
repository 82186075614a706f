"""Errors of the studies that a server tells apart."""

from __future__ import annotations

from monai_sfda.errors import DataError, SfdaError


class UnknownImageError(DataError):
    """No image of the datastore has that id. (The id is not repeated: a client may send a patient's name.)"""

    def __init__(self) -> None:
        super().__init__("no image of that id", remedy="ask /datastore for the ids, or load the list again")

    def __reduce__(self) -> tuple[type[UnknownImageError], tuple[()]]:
        return UnknownImageError, ()


class TakenError(DataError):
    """An image of that id is there already; nothing is ever overwritten."""


class PacsError(SfdaError):
    """The PACS does not answer, refuses, or answers something that is no DICOMweb."""


class StillArrivingError(DataError):
    """A series is still being transferred to the PACS."""
