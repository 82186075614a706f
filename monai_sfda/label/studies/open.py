"""Opening the datastore that an address or a folder names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from monai_sfda.catalog import Task
from monai_sfda.data.checks import check_folder

if TYPE_CHECKING:
    from monai_sfda.label.studies.datastore import StudiesDatastore


@dataclass(frozen=True)
class Credentials:
    """How the app logs in at the PACS; neither is logged or served.

    Attributes:
        user: name for HTTP basic authentication; empty for none.
        password: its password.
        token: bearer token instead; empty for none.
        ca_file: certificates of the site's own authority (PEM); None for the system's.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_file: Path | None = None


def open_datastore(
    studies: str,
    *,
    cache: Path,
    tasks: Mapping[str, Task] | None = None,
    credentials: Credentials | None = None,
    cache_gb: float = 50.0,
    timeout_s: float = 30.0,
    search: Mapping[str, str] | None = None,
) -> StudiesDatastore:
    """MONAI Label's datastore over a folder of scans or a DICOMweb address.

    Args:
        studies: a folder (NIfTI, NRRD, MetaImage files and DICOM series in any nesting), or the `http(s)://`
            address of a PACS's DICOMweb service.
        cache: the app's folder for what it keeps: records, downloads, conversions. Each datastore has its own
            folder in it.
        tasks: of the models that are served, by the model's name: names and coded terms of the segments of
            saved labels.
        credentials: for the PACS.
        cache_gb: how large downloads and conversions together may grow; the least recently used go first.
        timeout_s: for a connection to the PACS and for each pause in what it sends.
        search: further filters of the search for series, by DICOM keyword (`StudyDate`: `20260101-`).

    Raises:
        DataError: when the folder is missing.
        SettingError: when the address is none.
    """
    from monai_sfda.label.studies.folder import FolderDatastore  # loads monailabel, which takes seconds

    address = studies.strip()
    known = dict(tasks or {})
    if address.startswith(("http://", "https://")):
        from monai_sfda.label.studies.connection import Connection
        from monai_sfda.label.studies.dicomweb import DicomwebDatastore
        from monai_sfda.label.studies.pacs import Pacs

        login = credentials or Credentials()
        connection = Connection(
            address,
            user=login.user,
            password=login.password,
            token=login.token,
            ca_file=login.ca_file,
            timeout_s=timeout_s,
        )
        return DicomwebDatastore(
            Pacs(connection), work=_own(cache, connection.url), tasks=known, cache_gb=cache_gb, search=search
        )
    root = Path(address).expanduser().absolute()
    check_folder(root)
    return FolderDatastore(root, work=_own(cache, str(root)), tasks=known, cache_gb=cache_gb)


def _own(cache: Path, address: str) -> Path:
    """The folder of one datastore in the app's cache."""
    return cache / f"studies-{sha256(address.encode()).hexdigest()[:16]}"
