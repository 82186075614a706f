"""What clients send with scribbles and clicks: read, bounded, refused in words."""

from __future__ import annotations

import pytest

from monai_sfda.errors import SettingError
from monai_sfda.label.correction.requests import (
    CorrectionOptions,
    ScribbleOptions,
    check_inside,
    read_clicks,
    read_roi,
)
from monai_sfda.label.values import read_options

LABELS = {"liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}


def test_ohif_lists_clicks_under_the_names_of_structures():
    sent = {"background": [[9, 9, 9]], "spleen": [[1, 2, 3], [4, 5, 6]], "result_extension": ".nrrd"}
    found = read_clicks(sent, LABELS, one_structure=False)
    assert found.foreground == {"spleen": [(1, 2, 3), (4, 5, 6)]}
    assert found.background == [(9, 9, 9)]


def test_slicers_deepedit_panel_lists_every_structure_and_those_of_other_models():
    sent = {"liver": [], "right kidney": [[1, 2, 3]], "left ventricle": [], "label": "right kidney"}
    found = read_clicks(sent, LABELS, one_structure=False)
    assert found.foreground == {"right kidney": [(1, 2, 3)]}


def test_slicers_deepgrow_panel_names_the_structure():
    sent = {"label": "liver", "foreground": [[1, 2, 3]], "background": []}
    found = read_clicks(sent, LABELS, one_structure=True)
    assert (found.foreground, found.background, found.chosen) == ({"liver": [(1, 2, 3)]}, [], "liver")
    only_background = {"label": "liver", "foreground": [], "background": [[1, 2, 3]]}
    assert read_clicks(only_background, LABELS, one_structure=True).chosen == "liver"


def test_points_are_whole_numbers_however_they_are_written():
    sent = {"liver": "[[1.2, 2, 2.9]]"}
    assert read_clicks(sent, LABELS, one_structure=False).foreground == {"liver": [(1, 2, 3)]}


@pytest.mark.parametrize(
    ("sent", "one_structure", "said"),
    [
        ({}, False, "no click"),
        ({"liver": [], "background": []}, False, "no click"),
        ({"label": "liver"}, True, "no click"),
        ({"foreground": [[1, 2, 3]]}, True, "without the name of a structure: .*_clicks"),
        ({"label": "livr", "foreground": [[1, 2, 3]]}, True, "no structure 'livr': choose one of liver"),
        ({"liver": [[1, 2]]}, False, "clicks of 'liver' cannot be read"),
        ({"liver": "$import os"}, False, "clicks of 'liver' cannot be read"),
        ({"liver": [[1, 2, float("nan")]]}, False, "clicks of 'liver' cannot be read"),
        ({"liver": [[True, 2, 3]]}, False, "clicks of 'liver' cannot be read"),
        ({"liver": [[1, 2, 10**400]]}, False, "clicks of 'liver' cannot be read"),
        ({"liver": {"a": 1}}, False, "clicks of 'liver' cannot be read"),
        ({"liver": [[1, 2, 3]] * 1001}, False, "more than 1000"),
    ],
)
def test_other_clicks_are_refused_in_words(sent, one_structure, said):
    with pytest.raises(SettingError, match=said):
        read_clicks(sent, LABELS, one_structure=one_structure)


@pytest.mark.parametrize("point", [(-1, 0, 0), (10, 0, 0), (0, 0, 5), (0, 10**9, 0)])
def test_a_click_outside_of_the_image_is_refused(point):
    with pytest.raises(SettingError, match="'liver' lies outside of the image, which has 10 x 10 x 5 voxels"):
        check_inside([point], (10, 10, 5), "liver")


def test_a_region_of_interest_comes_in_pairs_of_any_order():
    """The first pair is turned round where voxel indices run against the patient's axes."""
    assert read_roi([8, 2, 0, 3, 1, 99], (10, 10, 5)) == (slice(2, 9), slice(0, 4), slice(1, 5))
    assert read_roi([], (10, 10, 5)) is None
    for bad in ([1, 2, 3], [20, 30, 0, 3, 0, 3]):
        with pytest.raises(SettingError, match="region of interest"):
            read_roi(bad, (10, 10, 5))


def test_options_of_panels_are_texts_and_lists():
    found = read_options(CorrectionOptions, {"version": ["active", "1"], "reach_mm": "12.5", "smoothness": 1})
    assert (found.version, found.reach_mm, found.smoothness) == (None, 12.5, 1.0)
    assert read_options(CorrectionOptions, {"version": "2"}).version == 2


@pytest.mark.parametrize(
    "sent",
    [
        {"reach_mm": 1e9},
        {"reach_mm": "nan"},
        {"smoothness": -1},
        {"version": "../../etc"},
        {"result_extension": ".sh"},
        {"label_info": [{"name": "a" * 300, "id": 1}]},
        {"label_info": [{"name": "liver", "id": -4}]},
        {"roi": [1, 2, 3, 4, 5, "$x"]},
    ],
)
def test_options_out_of_bounds_are_refused(sent):
    with pytest.raises(SettingError):
        read_options(ScribbleOptions, sent)


def test_keys_of_the_client_are_not_looked_at():
    sent = {"client_id": "user-xyz", "device": None, "bundle_root": "$x", "network_def": {"_target_": "os"}}
    assert read_options(ScribbleOptions, sent) == ScribbleOptions()
