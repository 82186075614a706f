"""3D Slicer's module in a test: `MONAILabelClient`, that module's own client, and what the panel sends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import requests
from monailabel.client import MONAILabelClient
from numpy.typing import NDArray

from tests.label.servers import PASSWORDS


class Slicer:
    """Somebody at a workstation.

    Args:
        url: of the server.
        folder: of the workstation, not the server's.
        user: who logs in; None where the server has no users.
    """

    def __init__(self, url: str, folder: Path, user: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.url, self.folder, self.token = url, folder, ""
        self.client = MONAILabelClient(url, tmpdir=str(folder), client_id=f"user-{user or 'local'}")
        if user is not None:
            assert self.client.auth_enabled()
            assert not self.client.auth_valid_token()
            token = self.client.auth_token(user, PASSWORDS[user])
            self.token = token["access_token"]
            self.client.update_auth(token)
            assert self.client.auth_valid_token()

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        """A request that the module has no function for, with the same login."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.url}{path}", headers=headers, timeout=300, **more)

    def download(self, image_id: str) -> Path:
        """The image as a volume, as the panel's *Next Sample* loads it."""
        answer = self.send("GET", "/datastore/image", params={"image": image_id})
        assert answer.status_code == 200, answer.text
        name = re.search('filename="?([^";]+)', answer.headers["content-disposition"])
        assert name is not None
        file = self.folder / Path(name[1]).name
        file.write_bytes(answer.content)
        return file

    def segment(self, model: str, image_id: str, **options: Any) -> tuple[Path, dict[str, Any]]:
        """*Auto segmentation*: the labelmap, on the disk of the workstation, and its parameters."""
        file, params = self.client.infer(model, image_id, options)
        return Path(file), params

    def scribble(
        self,
        model: str,
        image_id: str,
        current: Path,
        structures: Sequence[str],
        chosen: str,
        foreground: NDArray[np.bool_],
        background: NDArray[np.bool_],
    ) -> tuple[Path, dict[str, Any]]:
        """*Scribbles*: the panel sends the segments, the strokes among them, as one labelmap.

        Args:
            model, image_id: as for `segment`.
            current: labelmap that is corrected.
            structures: names of its segments, in the order of their values.
            chosen: the one that the strokes are for.
            foreground, background: the strokes' voxels.
        """
        segments = nibabel.load(current)
        drawn = np.asarray(segments.dataobj).astype(np.uint8)
        drawn[background], drawn[foreground] = len(structures) + 1, len(structures) + 2
        file = self.folder / "scribbles.nii.gz"
        nibabel.save(nibabel.Nifti1Image(drawn, segments.affine), file)
        names = [*structures, "background_scribbles", "foreground_scribbles"]
        params = {
            "label_info": [{"name": name, "id": number} for number, name in enumerate(names, start=1)],
            "selected_label_name": chosen,
            "roi": [],
        }
        out, said = self.client.infer(f"{model}_scribbles", image_id, params, label_in=str(file))
        return Path(out), said

    def save(self, image_id: str, labelmap: Path, names: Sequence[str], **params: Any) -> Mapping[str, Any]:
        """*Submit label*: segments are numbered by their order in the panel."""
        info = [
            {"name": name, "idx": number, "color": [1, 0, 0]} for number, name in enumerate(names, start=1)
        ]
        answer: Mapping[str, Any] = self.client.save_label(
            image_id, str(labelmap), params={"label_info": info, **params}
        )
        return answer


def strokes(mask: NDArray[np.bool_], truth: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Every second row of the voxels of `truth` that `mask` lacks, in every second slice along `axis`.

    What somebody paints over a missed structure; with the two complemented, over what is too much.
    """
    missed = truth & ~mask
    kept = np.zeros_like(missed)
    where = [slice(None)] * missed.ndim
    where[axis] = slice(None, None, 2)
    kept[tuple(where)] = missed[tuple(where)]
    return kept
