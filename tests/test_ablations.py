"""The registry of ablations: names, shared runs, and that every setting in it is one that the jobs know."""

from __future__ import annotations

import pytest

from monai_sfda.ablations import ABLATIONS, compare_methods, find_ablations
from monai_sfda.ablations.published import NOTHING, PUBLISHED
from monai_sfda.catalog import TASKS
from monai_sfda.engines.supervised import training_settings
from monai_sfda.errors import SettingError
from monai_sfda.evaluation.gap import gap_closed
from monai_sfda.methods import METHODS, create_method
from tests.builders import REPOSITORY

ISSUE = ("rho", "classifier", "start", "loss", "class_proportions", "umap", "filters")
OTHER_PAPERS = (
    "tau",
    "osuda",
    "adaent_prior",
    "adaent_divergence",
    "adaent_curves",
    "adaent_maps",
    "prior_matching",
)
ARMS = [(name, arm) for name, ablation in ABLATIONS.items() for arm in ablation.arms]


def test_the_paper_s_ablations_are_there():
    assert tuple(ABLATIONS) == ISSUE + OTHER_PAPERS
    assert [a.name for a in find_ablations(("filters", "rho", "rho"), "abdomen")] == ["rho", "filters"]
    assert sorted(arm.rho or 0.97 for arm in ABLATIONS["rho"].arms if arm.rho != 0) == [0.8, 0.97]
    assert find_ablations((), "abdomen") == []


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(SettingError, match="'classifer' is unknown: use classifier"):
        find_ablations(("classifer",), "abdomen")


def test_all_takes_those_of_the_task_and_others_by_their_names():
    assert tuple(a.name for a in find_ablations(("all",), "abdomen")) == ISSUE
    assert [a.name for a in find_ablations(("all", "tau"), "spine")] == [
        "tau",
        "adaent_prior",
        "adaent_divergence",
        "adaent_curves",
        "adaent_maps",
    ]
    with pytest.raises(SettingError, match="no paper's ablation is of task 'soft_tissue': name some of rho"):
        find_ablations(("all",), "soft_tissue")


def test_every_ablation_names_tasks_that_have_a_bundle_or_will_have():
    known = {"abdomen", "cardiac", "street", "brain_modality", "brain_grade", "spine"}
    for ablation in ABLATIONS.values():
        assert ablation.tasks
        assert set(ablation.tasks) <= known


def method_of(arm):
    settings = dict(arm.overrides.get("method_settings", {}))
    if "class_proportions" in arm.overrides:
        settings["class_proportions"] = arm.overrides["class_proportions"]
    return create_method(arm.method, settings)


@pytest.mark.parametrize(("name", "arm"), ARMS, ids=lambda v: getattr(v, "run", v))
def test_methods_and_trainings_know_every_setting(name, arm):
    method = method_of(arm)
    assert method.name == arm.method
    for key, value in arm.overrides.get("method_settings", {}).items():
        assert getattr(method.settings, key) == value
    overrides = arm.training.overrides
    for key, value in overrides.get("method_settings", {}).items():
        assert getattr(method.settings, key) == value
    training = {k.removeprefix("training#"): v for k, v in overrides.items() if k != "method_settings"}
    trained = training_settings(training).model_dump()
    for key, value in training.items():
        assert trained[key] is not None if value == {} else trained[key] == value


def test_one_run_folder_is_one_way_to_adapt():
    ways = {}
    for _, arm in ARMS:
        way = (arm.method, repr(arm.overrides), repr(arm.training.overrides), arm.rho)
        assert ways.setdefault(arm.run, way) == way


def test_titles_differ_within_a_table_and_readers_of_labels_are_called_so():
    for ablation in ABLATIONS.values():
        assert len({arm.title for arm in ablation.arms}) == len(ablation.arms)
    for _, arm in ARMS:
        assert bool(method_of(arm).target_labels_read) == ("target labels" in arm.title)


def test_mas3_has_one_threshold_for_prototypes_and_pseudo_samples():
    for arm, threshold in zip(ABLATIONS["tau"].arms, (0.0, 0.8, None), strict=True):
        assert method_of(arm).settings.confidence_threshold == arm.rho == threshold


def test_comparing_methods_shares_the_run_of_the_ablations():
    compared = compare_methods({"none": "no adaptation", "sfs": "SFS"}, "abdomen")
    assert [arm.method for arm in compared.arms] == ["none", "sfs"]
    assert compared.arms[1].run == ABLATIONS["umap"].arms[0].run


def test_comparing_methods_shares_osudas_run():
    compared = compare_methods({"osuda": "OSUDA"}, "brain_grade")
    assert compared.arms[0].run == ABLATIONS["osuda"].arms[0].run


def test_every_ablation_is_documented():
    text = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [name for name in ABLATIONS if f"`{name}`" not in text] == []


def test_a_comparison_stands_beside_what_the_papers_print_on_the_task():
    on_heart = compare_methods({"adabn": "AdaBN", "sfs": "SFS"}, "cardiac").paper
    assert "58.4 to 73.8" in on_heart
    assert "adabn" not in on_heart
    assert compare_methods({"adabn": "AdaBN"}, "cardiac").paper == NOTHING
    assert PUBLISHED.keys() <= TASKS.keys()
    assert {method for of_task in PUBLISHED.values() for method in of_task} <= METHODS.keys()


@pytest.mark.parametrize(
    ("task", "method", "unadapted", "adapted", "bound", "share"),
    [
        ("cardiac", "sfs", 58.4, 73.8, 87.2, "53%"),
        ("cardiac", "sfs", 58.4, 73.8, 88.9, "50%"),
        ("cardiac", "prior_matching", 20.03, 72.18, 87.0, "78%"),
        ("abdomen", "sfs", 51.2, 78.3, 89.8, "70%"),
        ("spine", "adaent", 46.7, 67.0, 82.3, "57%"),
        ("spine", "adaent", 63.7, 77.8, 89.0, "56%"),
    ],
)
def test_published_shares_are_those_of_the_printed_numbers(task, method, unadapted, adapted, bound, share):
    assert f"{gap_closed(unadapted, adapted, bound, higher=True):.0%}" == share
    assert share in PUBLISHED[task][method]
