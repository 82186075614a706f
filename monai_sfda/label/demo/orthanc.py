"""Orthanc with its DICOMweb plugin, as Debian packages them, as a PACS for demonstrations and tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from monai_sfda.errors import SettingError, SfdaError
from monai_sfda.files import write_json
from monai_sfda.label.demo.processes import LOOPBACK, Running, free_port, running, wait_until

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_BATCH = 64
_START_SECONDS = 60.0
_BOUNDARY = "monai-sfda-stow"
_FAILED = "00081198"  # Failed SOP Sequence


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes:
        url: of its REST interface.
        process: of the server.
        storage: folder of its files.
    """

    url: str
    process: Running
    storage: Path

    @property
    def dicomweb(self) -> str:
        """Address of its DICOMweb services, without a slash at the end."""
        return f"{self.url}/dicom-web"

    def store(self, files: Iterable[Path]) -> int:
        """Sends DICOM files by STOW-RS; returns how many it took.

        Raises:
            SfdaError: when it refuses one.
        """
        sent = list(files)
        for start in range(0, len(sent), _BATCH):
            body = b"".join(
                f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
                + path.read_bytes()
                + b"\r\n"
                for path in sent[start : start + _BATCH]
            )
            answer = self._session().post(
                f"{self.dicomweb}/studies",
                data=body + f"--{_BOUNDARY}--\r\n".encode(),
                headers={
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
                    "Accept": "application/dicom+json",
                },
                timeout=120,
            )
            if answer.status_code != 200 or answer.json().get(_FAILED, {}).get("Value"):
                raise SfdaError("Orthanc refuses DICOM files", remedy="look at its log")
        return len(sent)

    def store_folder(self, folder: Path) -> int:
        """Sends every `.dcm` file of a folder, at any depth."""
        return self.store(sorted(folder.rglob("*.dcm")))

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that its REST interface gives for a path such as `/series`."""
        answer = self._session().get(f"{self.url}{path}", params=query, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def series(self, modality: str | None = None) -> list[dict[str, Any]]:
        """Its series, as `/series?expand` describes them; those of one modality, or all."""
        found: list[dict[str, Any]] = self.get("/series", expand="")
        return [s for s in found if modality in (None, s["MainDicomTags"].get("Modality"))]

    def files_of(self, series: dict[str, Any]) -> list[bytes]:
        """The DICOM files of a series from `series`."""
        return [
            self._session().get(f"{self.url}/instances/{instance}/file", timeout=60).content
            for instance in series["Instances"]
        ]

    def delete(self, series: dict[str, Any]) -> None:
        """Deletes a series from `series`."""
        self._session().delete(f"{self.url}/series/{series['ID']}", timeout=60).raise_for_status()

    @staticmethod
    def _session() -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # a proxy of the environment would take loopback for its own
        return session


def missing() -> str | None:
    """What is not installed, in words with the remedy; None when Orthanc can be started."""
    program = orthanc_program()
    absent = [] if program else ["orthanc"]
    absent += [] if PLUGIN.is_file() else ["orthanc-dicomweb"]
    if not absent:
        return None
    return f"{' and '.join(absent)} not installed: sudo apt-get install {' '.join(absent)} (Debian, Ubuntu)"


def orthanc_program() -> str | None:
    """Orthanc's executable; Debian keeps it where ordinary users do not look."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


@contextmanager
def started_orthanc(folder: Path, *, port: int | None = None, name: str = "phantoms") -> Iterator[Orthanc]:
    """Orthanc on loopback, without the DICOM protocol's own port, for as long as the block lasts.

    Args:
        folder: of its configuration, files and log; what it held before is there again.
        port: of its HTTP server; None for a free one.
        name: that it shows.

    Raises:
        SettingError: when it is not installed.
        SfdaError: when it does not start.
    """
    absent = missing()
    program = orthanc_program()
    if absent or program is None:
        raise SettingError(absent or "orthanc is not installed", remedy="install the packages and try again")
    port = free_port() if port is None else port
    storage = folder / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    configuration = folder / "orthanc.json"
    write_json(
        configuration,
        {
            "Name": name,
            "StorageDirectory": str(storage),
            "IndexDirectory": str(storage),
            "HttpPort": port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "OverwriteInstances": True,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StowMaxInstances": 0, "StowMaxSize": 0},
        },
    )
    url = f"http://{LOOPBACK}:{port}"
    with running("Orthanc", [program, str(configuration)], folder / "orthanc.log") as process:
        orthanc = Orthanc(url, process, storage)

        def answers() -> bool:
            try:
                return Orthanc._session().get(f"{url}/dicom-web/studies", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        wait_until(answers, process, seconds=_START_SECONDS)
        yield orthanc
