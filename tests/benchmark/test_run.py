"""What a benchmark says of itself, and what it refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_sfda.ablations import ABLATIONS
from monai_sfda.benchmark.run import Benchmark, method_comparison, run_benchmark
from monai_sfda.errors import SettingError
from monai_sfda.workflow.experiment import Experiment

PRIVATE = Path("/home/anna/study/list.json")


def test_the_command_can_be_typed_again_and_names_no_path():
    benchmark = Benchmark("abdomen", PRIVATE, seeds=(0, 2), subjects=8, overrides={"amp": "true"})
    assert benchmark.command(ABLATIONS["rho"]) == (
        "monai-sfda benchmark --task abdomen --ablation rho --seeds 0,2 --subjects 8 --set amp=true"
    )
    given = {"imagenet_weights": "/home/anna/vgg16.pth"}
    benchmark = Benchmark(
        "abdomen", PRIVATE, data=PRIVATE.parent, datalist=PRIVATE, full_size=True, overrides=given
    )
    assert benchmark.command(method_comparison(["none", "sfs"])) == (
        "monai-sfda benchmark --task abdomen --methods none,sfs --seeds 0,1,2 --data DIR --datalist FILE "
        "--full-size --set imagenet_weights=vgg16.pth"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": ()}, "seeds of none"),
        ({"seeds": (1, 1)}, "each seed once"),
        ({"datalist": PRIVATE}, "without its data"),
        ({"data": PRIVATE}, "no such folder in list.json: correct --data"),
        ({"data": Path(), "datalist": PRIVATE}, "no such file in list.json: correct --datalist"),
        ({"overrides": {"output_dir": "x"}}, "'output_dir' is the benchmark's own"),
        ({"overrides": {"protocol": "papr"}}, "use paper"),
        ({"task": "soft_tissue", "overrides": {"protocol": "paper"}}, "no paper evaluated"),
        ({"task": "abdomin"}, "abdomen"),
        ({"bundles": Path("nowhere")}, "is not found"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, changes, message):
    benchmark = Benchmark(**({"task": "abdomen", "out": tmp_path / "out"} | changes))
    with pytest.raises(SettingError, match=message):
        run_benchmark(benchmark, [ABLATIONS["classifier"]])
    assert not (tmp_path / "out").exists()


def test_a_protocol_is_of_the_evaluations_alone(tmp_path):
    """The runs are those of any protocol; only what was scored has a folder of its own."""
    (arm,) = method_comparison(["sfs"]).arms
    own, paper = (
        Experiment("abdomen", tmp_path, tmp_path / "out", protocol=protocol) for protocol in (None, "paper")
    )
    assert own.run_folder(arm) == paper.run_folder(arm)
    assert own.release_of(arm) == paper.release_of(arm)
    assert own.commands.common == paper.commands.common == {}
    assert own.results_for(arm).keys() == paper.results_for(arm).keys()
    for name, folder in own.results_for(arm).items():
        assert paper.results_for(arm)[name] == folder.with_name(f"{folder.name}_paper")
    benchmark = Benchmark("abdomen", tmp_path / "out", overrides={"protocol": "whole_volume"})
    assert benchmark.protocol is None


def test_methods_that_read_the_source_run_by_uda_json_where_the_bundle_has_it(tmp_path):
    comparison = method_comparison(["adaent", "adasource", "prior_matching"])
    assert [arm.configuration for arm in comparison.arms] == ["adapt.json", "uda.json", "uda.json"]
    adasource = comparison.arms[1]
    assert adasource.training == comparison.arms[0].training
    assert adasource.run in {arm.run for arm in ABLATIONS["adaent_prior"].arms}
    assert "reads source scans" in adasource.title
    benchmark = Benchmark("street", tmp_path / "out")
    with pytest.raises(
        SettingError, match=r"'adasource' reads the source's scans by uda\.json, which the bundle"
    ):
        run_benchmark(benchmark, [method_comparison(["adabn", "adasource"])])
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_lists_the_nearest():
    with pytest.raises(SettingError, match="use one of sfs"):
        method_comparison(["sfd"])


def test_every_method_s_word_in_one_call_and_supervised_is_the_bound():
    words = ["none", "adabn", "tent", "sfs", "mas3", "osuda", "adaent", "mean_teacher", "supervised"]
    assert [arm.method for arm in method_comparison(words).arms] == words[:-1]
    assert [arm.method for arm in method_comparison(["supervised"]).arms] == ["none"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("superviced", "'superviced' is unknown: use one of supervised"),
        ("osada", "'osada' is unknown: use one of osuda"),
        ("auto", "'auto' cannot be run: the recommended setting is not in this version: use adabn"),
    ],
)
def test_unknown_methods_list_the_nearest(name, message):
    with pytest.raises(SettingError, match=message):
        method_comparison(["none", name])


def test_a_method_from_outside_is_compared_in_a_folder_of_its_own():
    """By dotted name; a class of ours stands for another package's, whose import tests/methods covers."""
    comparison = method_comparison(["none", "monai_sfda.methods.tent:Tent"])
    assert [arm.run for arm in comparison.arms] == ["none", "monai_sfda.methods.tent_Tent"]
    assert comparison.arms[1].title == "Tent"
