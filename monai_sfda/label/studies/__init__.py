"""The studies that the app works on: a folder or a PACS, what is saved about them, and masks as DICOM SEG.

- `open_datastore`: MONAI Label's `Datastore` over a folder or a DICOMweb address.
- `scanner_of`, `images_of_scanner`, `unlabelled_images`: which studies an adaptation may take.
- `check_upload`: what a client sends is one whole file that names no other file of the server.
"""

from __future__ import annotations

from monai_sfda.label.studies.open import Credentials, open_datastore
from monai_sfda.label.studies.scanners import images_of_scanner, scanner_of, scanners, unlabelled_images
from monai_sfda.label.studies.uploads import check_upload

__all__ = [
    "Credentials",
    "check_upload",
    "images_of_scanner",
    "open_datastore",
    "scanner_of",
    "scanners",
    "unlabelled_images",
]
