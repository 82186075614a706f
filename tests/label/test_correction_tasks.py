"""The correction tasks of the app, asked as 3D Slicer's and OHIF's panels ask them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.data.case import Case
from monai_sfda.data.reading import read_case
from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.correction import infer_tasks_of
from tests.label.correction_scenes import dice, strokes

NAMES = ["liver", "right_kidney", "left_kidney", "spleen"]


@pytest.fixture(scope="module")
def site(installed):
    """The tasks, one study, its truth and what the model makes of it."""
    models = installed.models()
    tasks = infer_tasks_of(SimpleNamespace(models=models))
    loaded = models.load("abdomen")
    name, path = next(iter(installed.scans.items()))
    case = Case(1, "scan", (path,), installed.labels[name], "btcv")
    scan, truth = read_case(case, models["abdomen"].task, "target", with_label=True)
    classes = loaded.probabilities(scan).argmax(0).astype(np.uint8)
    return SimpleNamespace(
        tasks=tasks,
        labels=models["abdomen"].labels,
        image=path,
        scan=scan,
        truth=truth,
        classes=classes,
    )


def ask(site, task, **sent):
    """What a task answers: the label map by name of structure, on the scan's grid, and its parameters."""
    file, said = site.tasks[f"abdomen_{task}"]({"image": str(site.image), **sent})
    image = nib.load(file) if file.endswith(".nii.gz") else None
    array = np.asarray(image.dataobj) if image is not None else sitk.GetArrayFromImage(sitk.ReadImage(file)).T
    if image is not None:
        assert np.allclose(image.affine, site.scan.affine, atol=1e-4)
    assert array.shape == site.scan.shape
    return {name: array == index for name, index in said["label_names"].items()}, said


def slicer_label_map(path, site, structure, foreground, background, *, classes=None):
    """The label map and parameters that 3D Slicer's scribbles panel sends: segments in its own order."""
    classes = site.classes if classes is None else classes
    segments = ["spleen", "other", *(name for name in NAMES if name != "spleen")]
    values = np.zeros(classes.shape, np.int16)
    info = [{"name": name, "id": value} for value, name in enumerate(segments, start=1)]
    for entry in info:
        if entry["name"] in site.labels:
            values[classes == site.labels[entry["name"]]] = entry["id"]
    count = len(segments)
    values[background], values[foreground] = count + 1, count + 2
    info += [
        {"name": "background_scribbles", "id": count + 1},
        {"name": "foreground_scribbles", "id": count + 2},
    ]
    nib.save(nib.Nifti1Image(values, site.scan.affine), path)
    return {"label_file": path, "label_info": info, "selected_label_name": structure, "roi": []}


def errors(site, structure):
    truth, mask = site.truth == site.labels[structure], site.classes == site.labels[structure]
    return truth & ~mask, mask & ~truth


@pytest.mark.parametrize("structure", NAMES)
def test_scribbles_improve_their_structure_and_leave_the_others(site, tmp_path, structure):
    missed, leaked = errors(site, structure)
    foreground, background = strokes(missed), strokes(leaked)
    sent = slicer_label_map(tmp_path / "label.nii.gz", site, structure, foreground, background)
    found, said = ask(site, "scribbles", **sent)
    index = site.labels[structure]
    assert dice(found[structure], site.truth == index) > dice(site.classes == index, site.truth == index)
    assert found[structure][foreground].all()
    assert not found[structure][background].any()
    free = ~(foreground | background)
    for other in set(NAMES) - {structure}:
        assert np.array_equal(found[other][free], (site.classes == site.labels[other])[free])
        assert not found[other][foreground].any()
    assert said["label_names"][structure] == 1  # 3D Slicer takes value 1 for the chosen structure
    assert sorted(said["label_names"].values()) == [1, 2, 3, 4]
    assert said["corrected"][structure]["added_ml"] + said["corrected"][structure]["removed_ml"] > 0
    voxel_ml = abs(np.linalg.det(site.scan.affine[:3, :3])) / 1000
    assert said["volumes_ml"][structure] == pytest.approx(found[structure].sum() * voxel_ml, abs=0.01)
    assert said["intended_use"] == "research; not for diagnosis"


def test_what_the_user_corrected_before_stays(site, tmp_path):
    """The spleen was drawn anew by hand, and a part of the liver; scribbles for the liver keep both."""
    drawn = np.where(site.classes == site.labels["spleen"], 0, site.classes).astype(np.uint8)
    drawn[:10, :10, :3] = site.labels["spleen"]
    drawn[-9:, -9:, -3:] = site.labels["liver"]
    missed = (site.truth == site.labels["liver"]) & (drawn == 0)
    sent = slicer_label_map(
        tmp_path / "label.nii.gz", site, "liver", strokes(missed), np.zeros_like(missed), classes=drawn
    )
    found, _ = ask(site, "scribbles", **sent)
    assert np.array_equal(found["spleen"], drawn == site.labels["spleen"])
    assert found["liver"][drawn == site.labels["liver"]].all()


def test_without_a_segmentation_on_the_screen_the_models_own_is_corrected(site, tmp_path):
    missed, leaked = errors(site, "liver")
    sent = slicer_label_map(
        tmp_path / "l.nii.gz", site, "liver", strokes(missed), strokes(leaked), classes=site.classes * 0
    )
    found, _ = ask(site, "scribbles", **sent)
    assert np.array_equal(found["spleen"], site.classes == site.labels["spleen"])
    assert found["liver"].sum() > strokes(missed).sum()


def test_a_label_map_in_another_storage_order_or_on_a_part_of_the_grid_means_the_same(site, tmp_path):
    missed, leaked = errors(site, "liver")
    sent = slicer_label_map(tmp_path / "label.nii.gz", site, "liver", strokes(missed), strokes(leaked))
    expected, _ = ask(site, "scribbles", **sent)
    stored = nib.load(tmp_path / "label.nii.gz")
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(stored.affine), nib.orientations.axcodes2ornt(("S", "L", "A"))
    )
    nib.save(stored.as_reoriented(turn), tmp_path / "turned.nii.gz")
    inside = np.argwhere(np.asarray(stored.dataobj) > 0)
    (a, b, c), (d, e, f) = inside.min(0), inside.max(0) + 1
    nib.save(stored.slicer[a:d, b:e, c:f], tmp_path / "part.nii.gz")
    for name in ("turned", "part"):
        found, _ = ask(site, "scribbles", **{**sent, "label_file": tmp_path / f"{name}.nii.gz"})
        assert all(np.array_equal(found[n], expected[n]) for n in NAMES), name


def test_stock_scribble_values_and_a_label_name_are_understood(site, tmp_path):
    missed, _ = errors(site, "liver")
    values = site.classes.astype(np.int16)
    values[strokes(missed)] = len(NAMES) + 2
    nib.save(nib.Nifti1Image(values, site.scan.affine), tmp_path / "label.nii.gz")
    found, said = ask(site, "scribbles", label_file=tmp_path / "label.nii.gz", label="liver")
    assert said["label_names"] == site.labels
    assert found["liver"][strokes(missed)].all()


def test_scribbles_that_cannot_be_used_are_refused_in_words(site, tmp_path):
    nothing = np.zeros(site.classes.shape, bool)
    sent = slicer_label_map(tmp_path / "patient.nii.gz", site, "liver", nothing, nothing)
    with pytest.raises(DataError, match="holds no scribbles: draw") as empty:
        ask(site, "scribbles", **sent)
    assert "patient" not in str(empty.value)
    with pytest.raises(SettingError, match="no scribbles came along"):
        ask(site, "scribbles", selected_label_name="liver")
    with pytest.raises(SettingError, match="no scribbles came along"):
        ask(site, "scribbles", selected_label_name="liver", label="/etc/hostname")
    with tempfile.NamedTemporaryFile(
        suffix=".nii.gz"
    ) as others:  # named by a client of this package's server
        others.write(Path(sent["label_file"]).read_bytes())
        with pytest.raises(SettingError, match="no scribbles came along"):
            ask(site, "scribbles", selected_label_name="liver", label=others.name, user="somebody")
    for task in ("scribbles", "clicks"):  # as a text, which a client of MONAI Label's own server can send
        with pytest.raises(SettingError, match="cannot name the file of a label map"):
            ask(site, task, **sent | {"label_file": str(sent["label_file"]), "liver": [[1, 1, 1]]})
    with pytest.raises(SettingError, match="no structure is chosen"):
        ask(site, "scribbles", **{**sent, "selected_label_name": None})
    with pytest.raises(SettingError, match="no structure 'splen': choose one of spleen"):
        ask(site, "scribbles", **{**sent, "selected_label_name": "splen"})
    (tmp_path / "broken_name.nii.gz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="label map: ") as broken:
        ask(site, "scribbles", **{**sent, "label_file": tmp_path / "broken_name.nii.gz"})
    assert "broken_name" not in str(broken.value)
    far = nib.load(sent["label_file"])
    away = far.affine + np.array([[0, 0, 0, 1e4]] * 3 + [[0, 0, 0, 0]])
    nib.save(nib.Nifti1Image(np.asarray(far.dataobj), away), tmp_path / "away.nii.gz")
    with pytest.raises(DataError, match="elsewhere in space"):
        ask(site, "scribbles", **{**sent, "label_file": tmp_path / "away.nii.gz"})


def middle(mask):
    """A voxel deep inside of a mask."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    return [int(i) for i in np.unravel_index(int(depth.argmax()), mask.shape)]


def test_clicks_as_ohif_sends_them(site):
    missed, leaked = errors(site, "liver")
    sent = {"liver": [middle(missed)], "background": [middle(leaked)], "result_extension": ".nrrd"}
    sent |= {"result_dtype": "uint8", "result_compress": False, "restore_label_idx": False}
    found, said = ask(site, "clicks", **sent)
    index = site.labels["liver"]
    assert dice(found["liver"], site.truth == index) > dice(site.classes == index, site.truth == index)
    assert said["label_names"] == site.labels
    assert list(said["corrected"]) == ["liver"]


def test_clicks_as_slicers_deepgrow_panel_sends_them(site):
    """It turns the point that was clicked in space into the voxel by the stored image's own affine."""
    missed, leaked = errors(site, "spleen")
    foreground, background = middle(missed), middle(leaked)
    ras = site.scan.affine @ [*foreground, 1]
    ijk = [round(float(v)) for v in (np.linalg.inv(nib.load(site.image).affine) @ ras)[:3]]
    found, said = ask(site, "grow", label="spleen", foreground=[ijk], background=[background])
    assert said["label_names"]["spleen"] == 1
    assert found["spleen"][tuple(foreground)]
    assert not found["spleen"][tuple(background)]
    under = site.classes[tuple(foreground)]
    for other in set(NAMES) - {"spleen"}:
        if site.labels[other] != under:
            assert np.array_equal(found[other], site.classes == site.labels[other])


def test_a_background_click_alone_takes_from_the_structure_that_it_lies_in(site):
    name = max(NAMES, key=lambda name: errors(site, name)[1].sum())
    point = middle(errors(site, name)[1])
    found, said = ask(site, "clicks", background=[point])
    assert list(said["corrected"]) == [name]
    assert said["corrected"][name]["removed_ml"] > 0
    assert not found[name][tuple(point)]


def test_a_click_outside_of_the_image_is_refused(site):
    with pytest.raises(SettingError, match="lies outside of the image"):
        ask(site, "clicks", liver=[[10_000, 0, 0]])
    with pytest.raises(SettingError, match="no click"):
        ask(site, "clicks", liver=[])


def test_another_version_can_be_corrected(site):
    point = middle(errors(site, "liver")[0])
    assert ask(site, "clicks", liver=[point], version="2")[1]["model_version"] == 2
    assert ask(site, "clicks", liver=[point], version=["active", "1"])[1]["model_version"] == 1


def test_the_tasks_say_what_they_are(site):
    types = {name: task.info()["type"] for name, task in site.tasks.items()}
    assert types == {
        "abdomen_scribbles": "scribbles",
        "abdomen_clicks": "deepedit",
        "abdomen_grow": "deepgrow",
    }
    for name, task in site.tasks.items():
        info = task.info()
        assert task.is_valid()
        clicked = name == "abdomen_clicks"
        assert info["labels"] == (site.labels | {"background": 5} if clicked else site.labels)
        assert info["config"]["version"] == ["active", "2", "1"]
        assert "not for diagnosis" in info["description"]


@pytest.mark.parametrize("kind", ["LPS", "LAS", "PIR", "oblique"])
def test_a_study_in_another_storage_order_is_corrected_alike_to_the_voxel(site, tmp_path, kind):
    """The image, the label map and the clicks are all in the other order, as a client that shows it sends."""
    missed, leaked = errors(site, "liver")
    sent = slicer_label_map(tmp_path / "label.nii.gz", site, "liver", strokes(missed), strokes(leaked))
    points = {"liver": [middle(missed)], "background": [middle(leaked)]}
    by_strokes, by_clicks = ask(site, "scribbles", **sent)[0], ask(site, "clicks", **points)[0]
    files = {"image.nii.gz": site.image, "map.nii.gz": tmp_path / "label.nii.gz"}
    moves = {}
    for name, path in files.items():
        stored = nib.load(path)
        if kind == "oblique":
            turn = np.eye(4)
            turn[:2, :2] = [[0.96, -0.28], [0.28, 0.96]]
            moved = nib.Nifti1Image(np.asarray(stored.dataobj), turn @ stored.affine)
            moves[name] = np.eye(4)
        else:
            order = nib.orientations.ornt_transform(
                nib.orientations.io_orientation(stored.affine), nib.orientations.axcodes2ornt(tuple(kind))
            )
            moved = stored.as_reoriented(order)
            moves[name] = np.linalg.solve(moved.affine, stored.affine)
        nib.save(moved, tmp_path / name)
    move = moves["image.nii.gz"]
    there = SimpleNamespace(**vars(site))
    there.image = tmp_path / "image.nii.gz"
    there.scan = SimpleNamespace(
        affine=nib.load(there.image).affine, shape=tuple(nib.load(there.image).shape)
    )
    voxels = np.argwhere(np.ones(site.scan.shape, bool))
    at = tuple(np.rint(voxels @ move[:3, :3].T + move[:3, 3]).astype(int).T)

    def back(found):
        return {name: mask[at].reshape(site.scan.shape) for name, mask in found.items()}

    moved_points = {
        name: [np.rint(move[:3, :3] @ p + move[:3, 3]).astype(int).tolist() for p in found]
        for name, found in points.items()
    }
    strokes_there = back(ask(there, "scribbles", **{**sent, "label_file": tmp_path / "map.nii.gz"})[0])
    clicks_there = back(ask(there, "clicks", **moved_points)[0])
    for name in NAMES:
        assert np.array_equal(strokes_there[name], by_strokes[name])
        assert np.array_equal(clicks_there[name], by_clicks[name])
