"""Options of requests are read before anything starts, refused in words, and not dropped in silence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from starlette.testclient import TestClient

from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.server.application import Server
from monai_sfda.label.server.batch import BatchOptions, Run
from monai_sfda.label.values import flag
from tests.builders import write_nifti
from tests.label.installed import MODEL, Installed
from tests.label.servers import in_process

NAMELESS = "MUELLER_HANS_1961"
"""Name of a study's file that no answer repeats."""


@pytest.fixture(scope="module")
def site(installed: Installed, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A server over one scan as NIfTI and as NRRD, and one file that is no scan."""
    root = tmp_path_factory.mktemp("options")
    studies = installed.copy_studies(root / "studies", 1)
    scan = next(studies.iterdir())
    sitk.WriteImage(sitk.ReadImage(str(scan)), str(studies / "copy.nrrd"))
    write_nifti(studies / f"{NAMELESS}.nii.gz", np.full((16, 16, 4), 7, np.float32))
    with in_process(studies, installed.store, root / "home") as (server, client):
        ids = {
            path.name: client.get(f"/datastore/image/info?image={name}").json()["name"].split(".")[0]
            for path in studies.glob("*.n*")
            for name in [path.name.split(".")[0]]
        }
        yield SimpleNamespace(
            server=server, client=client, scan=scan, nrrd=studies / "copy.nrrd", ids=ids, root=root
        )


@pytest.fixture
def client(site) -> TestClient:
    """A client of the server."""
    return site.client


@pytest.fixture
def server(site) -> Server:
    """The server."""
    return site.server


@pytest.mark.parametrize("value", ["perhaps", {}, {"a": 1}, 2, 0.5, ["maybe", "true"]])
def test_a_value_that_is_no_boolean_is_refused_by_name(value):
    with pytest.raises(SettingError, match=r"^force '.*' cannot be used: use true or false$"):
        flag("force", value)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("GET /train/?all=maybe", None),
        ("GET /train/?check_if_running=maybe", None),
        (f"POST /train/adapt_{MODEL}?enqueue=perhaps", {}),
        (f"POST /sfda/models/{MODEL}/versions/2/activate", {"force": "perhaps"}),
        (f"POST /scoring/score_{MODEL}", {"run_sync": "perhaps"}),
        (f"POST /batch/infer/{MODEL}", {"largest_component": "perhaps"}),
        (f"POST /batch/infer/{MODEL}", {"version": "newest"}),
        (f"POST /batch/infer/{MODEL}", {"save_label": {}}),
    ],
)
def test_an_option_that_cannot_be_read_starts_nothing(client: TestClient, path: str, body):
    method, address = path.split()
    answer = client.request(method, address, json=body)
    assert answer.status_code == 422, answer.text
    assert "cannot be used" in answer.json()["detail"]
    assert client.get("/train/?all=true").status_code == 404
    assert client.get("/scoring/").status_code == 404
    assert client.get("/batch/infer").status_code == 404
    assert client.get("/sfda/models").json()["models"][0]["active"] == 1


@pytest.mark.parametrize("value", ["perhaps", {}])
def test_a_segmentation_is_not_saved_perhaps(site, client: TestClient, value):
    params = json.dumps({"save_label": value})
    answer = client.post(f"/infer/{MODEL}?image={site.ids[site.scan.name]}", data={"params": params})
    assert (answer.status_code, answer.json()["remedy"]) == (422, "use true or false")
    assert "save_label" in answer.json()["detail"]


def drawn(scan: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Scribbles of a foreground, first axis fastest, and the parameters that say so."""
    values = np.zeros(nib.load(scan).shape, np.uint8)
    values[40:46, 30:50, values.shape[2] // 2] = 2
    info = [{"name": "liver", "id": 1}, {"name": "foreground_scribbles", "id": 2}]
    return values, {"params": json.dumps({"label_info": info, "selected_label_name": "liver"})}


def corrected(client: TestClient, query: str, values: np.ndarray, data, **files) -> np.ndarray:
    sent = {"label": ("scribbles.bin", values.tobytes(order="F")), **files}
    answer = client.post(f"/infer/{MODEL}_scribbles?output=image&{query}", data=data, files=sent)
    assert answer.status_code == 200, answer.text
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(answer.content)).dataobj)


def test_scribbles_without_a_header_lie_on_a_nrrd_scans_grid_too(site, client: TestClient):
    values, data = drawn(site.scan)
    expected = corrected(client, f"image={site.ids[site.scan.name]}", values, data)
    assert expected[values == 2].all()
    of_datastore = corrected(client, f"image={site.ids['copy.nrrd']}", values, data)
    uploaded = corrected(client, "", values, data, file=("a.nrrd", site.nrrd.read_bytes()))
    assert np.array_equal(of_datastore, expected)
    assert np.array_equal(uploaded, expected)


def test_scribbles_of_another_scan_are_refused(site, client: TestClient):
    for name in ("copy.nrrd", f"{NAMELESS}.nii.gz"):
        answer = client.post(
            f"/infer/{MODEL}_scribbles?image={site.ids[name]}",
            data={"params": "{}"},
            files={"label": ("scribbles.bin", b"\1" * 100)},
        )
        assert answer.status_code == 422
        assert "100 bytes for an image of" in answer.json()["detail"]
        assert NAMELESS not in answer.text


def test_a_batch_tells_each_segmentation_what_was_asked(server: Server, client: TestClient, monkeypatch):
    asked = []
    monkeypatch.setattr(server.app, "infer", lambda request: asked.append(request) or {})
    run = client.post(
        f"/batch/infer/{MODEL}?run_sync=true",
        json={"version": ["2", "1"], "largest_component": "true", "max_batch_size": 1, "device": "cpu"},
    ).json()
    assert (run["status"], run["request"]) == (
        "DONE",
        {"model": MODEL, "images": "all", "version": 2, "largest_component": True},
    )
    assert [(request["version"], request["largest_component"]) for request in asked] == [(2, True)]
    assert "device" not in asked[0]
    plain = client.post(f"/batch/infer/{MODEL}?run_sync=true", json={}).json()
    assert plain["request"] == {"model": MODEL, "images": "all"}


def test_a_batch_by_a_version_that_is_not_there_does_not_start(server: Server, client: TestClient):
    before = len(server.batches.runs)
    answer = client.post(f"/batch/infer/{MODEL}", json={"version": 77})
    assert answer.status_code == 409
    assert len(server.batches.runs) == before


def test_a_batchs_failures_are_counted_by_what_is_wrong(client: TestClient):
    run = client.post(f"/batch/infer/{MODEL}?run_sync=true", json={"save_label": False}).json()
    assert run["details"][:2] == ["2 of 3 studies segmented", "1 failed"]
    assert run["details"][2].startswith("1 x a constant image")
    assert NAMELESS not in json.dumps(run)


def test_the_reasons_of_a_batch_are_few_and_name_nobody():
    run = Run(MODEL, "all", BatchOptions())
    for number in range(50):
        run.note_failure(DataError(f"{number} slices", remedy="none", path=f"/data/{NAMELESS}.nii.gz"))
    run.note_failure(RuntimeError(NAMELESS))
    assert (run.failed, sum(run.reasons.values())) == (51, 51)
    assert len(run.reasons) == 21
    assert NAMELESS not in json.dumps(run.to_json())
    other = Run(MODEL, "all", BatchOptions())
    other.note_failure(RuntimeError(NAMELESS))
    assert other.reasons == {"unexpected (RuntimeError)": 1}
