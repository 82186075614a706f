"""`monai-sfda benchmark`: ablations and methods over seeds, each with a table, a JSON file and a figure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from monai_sfda.ablations import Ablation, Arm, compare_methods
from monai_sfda.benchmark.analysis import MEASURES, Analysis
from monai_sfda.benchmark.embedding import prototypes_of_arms, require_umap, target_before_and_after
from monai_sfda.benchmark.entropy_maps import entropy_before_and_after
from monai_sfda.benchmark.responses import responses_before_and_after
from monai_sfda.benchmark.table import Row, as_markdown, as_terminal, over_seeds
from monai_sfda.benchmark.trajectory import dice_over_the_run
from monai_sfda.catalog import find_task
from monai_sfda.errors import SettingError
from monai_sfda.evaluation.charts import spread_over_seeds
from monai_sfda.files import write_atomically, write_json
from monai_sfda.methods import NoAdaptation, find_method
from monai_sfda.phantom import write_phantoms
from monai_sfda.release import package_versions
from monai_sfda.workflow.bundle_folder import find_bundle
from monai_sfda.workflow.console import Announce, announcing, make_console
from monai_sfda.workflow.experiment import Experiment
from monai_sfda.workflow.results import machine, results_table
from monai_sfda.workflow.run_folder import is_phantom
from monai_sfda.workflow.steps import run_step

ANALYSES: dict[str, Callable[[Experiment, Sequence[Arm]], Analysis]] = {
    "prototypes": prototypes_of_arms,
    "embedding": target_before_and_after,
    "responses": responses_before_and_after,
    "trajectory": dice_over_the_run,
    "entropy": entropy_before_and_after,
}

SUPERVISED = "supervised"  # the word of --methods for the bound
PROTOCOL = "protocol"
# What the benchmark gives its steps by itself.
OWN_KEYS = (
    *("task", "bundle_root", "dataset_dir", "datalist", "output_dir", "seed", "domain", "split"),
    *("release", "checkpoint", "method"),
)


@dataclass(frozen=True)
class Benchmark:
    """What is compared on which data.

    Attributes:
        task: name in the catalog.
        out: folder of everything; each seed's runs in `seed<N>`, tables and figures in `results`.
        seeds: of training and adaptation, and of the phantoms.
        subjects: phantom subjects a domain.
        data: a labelled data set instead of phantoms.
        datalist: its list instead of the official layout.
        bundles: folder that holds the bundles.
        full_size: the bundle's own configuration, without `small.json`.
        overrides: further settings of every command; `protocol` is that of the evaluations alone.
        record: folder that takes the tables and figures too.
        guard: whether the guard judges each run, see `Experiment`.
    """

    task: str
    out: Path
    seeds: Sequence[int] = (0, 1, 2)
    subjects: int = 12
    data: Path | None = None
    datalist: Path | None = None
    bundles: Path | None = None
    full_size: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)
    record: Path | None = None
    guard: bool = False

    def command(self, ablation: Ablation) -> str:
        """The command that makes a result, without paths of the machine."""
        chosen = (
            f"--methods {','.join(arm.method for arm in ablation.arms)}"
            if ablation.name == "methods"
            else f"--ablation {ablation.name}"
        )
        parts = [f"monai-sfda benchmark --task {self.task} {chosen} --seeds {','.join(map(str, self.seeds))}"]
        parts.append(f"--subjects {self.subjects}" if self.data is None else "--data DIR")
        parts += ["--datalist FILE"] if self.datalist is not None else []
        parts += ["--full-size"] if self.full_size else []
        parts += ["--guard"] if self.guard else []
        parts += [f"--set {name}={value}" for name, value in self.public_overrides().items()]
        return " ".join(parts)

    @property
    def protocol(self) -> str | None:
        """The published protocol asked for; None for the task's own."""
        found = find_task(self.task).published_protocol(self.overrides.get(PROTOCOL))
        return None if found is None else found.name

    def public_overrides(self) -> dict[str, str]:
        """The overrides as they may be published: of a path, the last part."""
        return {name: value.rstrip("/").rpartition("/")[2] for name, value in self.overrides.items()}


def method_comparison(names: Sequence[str], task: str = "abdomen") -> Ablation:
    """The comparison of methods on a task, each with the configuration's settings.

    `supervised` is the bound, which ends every comparison; alone it stands beside no adaptation.

    Raises:
        SettingError: for an unknown method, with the nearest.
    """
    titles: dict[str, str] = {}
    for name in names:
        if name == SUPERVISED:
            continue
        titles[name] = find_method(name, also=(SUPERVISED,)).title
    return compare_methods(titles or {NoAdaptation.name: NoAdaptation.title}, task)


def run_benchmark(
    benchmark: Benchmark, ablations: Sequence[Ablation], console: Console | None = None
) -> dict[str, dict[str, Any]]:
    """Runs what is missing, and writes and prints a table and a figure for each comparison.

    Results are written after each seed, so that an interrupted benchmark shows the seeds that are done; the
    same command goes on. Runs that several comparisons share are run once.

    Args:
        benchmark: what and where.
        ablations: comparisons.
        console: to print on.

    Returns:
        The content of each comparison's JSON file, by name.

    Raises:
        SettingError: before anything is started, when a figure needs a package that is not there, or data and
            seeds do not fit together.
        SfdaError: of a step.
    """
    _check(benchmark, ablations)
    console = make_console() if console is None else console
    arms: dict[str, Arm] = {}
    for arm in (arm for ablation in ablations for arm in ablation.arms):
        arms.setdefault(arm.run, arm)
    console.print(
        f"benchmark of {', '.join(a.name for a in ablations)}: {len(arms)} ways to adapt, "
        f"seeds {', '.join(map(str, benchmark.seeds))}. For research, not for diagnosis.",
        highlight=False,
    )
    per_seed: dict[str, dict[int, list[Row]]] = {ablation.name: {} for ablation in ablations}
    figures: dict[str, bytes] = {}
    contents: dict[str, dict[str, Any]] = {}
    with _steps_keep_their_warnings():
        for seed in benchmark.seeds:
            with announcing(console, f"seed {seed}: ") as announce:
                experiment = _experiment(benchmark, seed, tuple(arms.values()), announce)
                experiment.run()
                for ablation in ablations:
                    rows, figure = _results(experiment, ablation)
                    per_seed[ablation.name][seed] = rows
                    if figure is not None:
                        figures.setdefault(ablation.name, figure)
            for ablation in ablations:
                content = _content(benchmark, experiment, ablation, per_seed[ablation.name])
                contents[ablation.name] = content
                _write(benchmark.out / "results", content, figures.get(ablation.name))
    for ablation in ablations:
        content = contents[ablation.name]
        if benchmark.record is not None:
            _write(benchmark.record, content, figures.get(ablation.name))
        kind = "phantoms" if content["phantom"] else "not for diagnosis"
        about = f"{benchmark.task}, {kind}, protocol {content['rows'][0]['protocol']}"
        console.print(as_terminal(f"{ablation.title} ({about})", content["rows"]))
        console.print(f"the paper, on its own data: {ablation.paper}", highlight=False, markup=False)
    console.print(f"tables and figures: {benchmark.out / 'results'}", highlight=False, markup=False)
    return contents


def _check(benchmark: Benchmark, ablations: Sequence[Ablation]) -> None:
    """Refuses what would fail after hours."""
    bundle = find_bundle(find_task(benchmark.task), benchmark.bundles)
    find_task(benchmark.task).published_protocol(benchmark.overrides.get(PROTOCOL))
    for arm in (arm for ablation in ablations for arm in ablation.arms):
        if not (bundle / "configs" / arm.configuration).is_file():
            raise SettingError(
                f"method '{arm.method}' reads the source's scans by {arm.configuration}, which the bundle of "
                f"task '{benchmark.task}' has not",
                remedy="leave it out, or choose a task whose bundle has it",
            )
    if not benchmark.seeds or len(set(benchmark.seeds)) != len(benchmark.seeds):
        raise SettingError(
            f"seeds {', '.join(map(str, benchmark.seeds)) or 'of none'} cannot be used",
            remedy="give each seed once, e.g. --seeds 0,1,2",
        )
    if benchmark.datalist is not None and benchmark.data is None:
        raise SettingError("a datalist is given without its data", remedy="add --data with the scans' folder")
    if benchmark.data is not None and not benchmark.data.is_dir():
        raise SettingError("there is no such folder", path=benchmark.data.name, remedy="correct --data")
    if benchmark.datalist is not None and not benchmark.datalist.is_file():
        raise SettingError("there is no such file", path=benchmark.datalist.name, remedy="correct --datalist")
    for name in benchmark.overrides:
        if name in OWN_KEYS:
            raise SettingError(
                f"setting '{name}' is the benchmark's own", remedy="leave it out of --set; see --help"
            )
    if any(ablation.needs_umap for ablation in ablations):
        require_umap()


def _experiment(benchmark: Benchmark, seed: int, arms: Sequence[Arm], announce: Announce) -> Experiment:
    out = benchmark.out / f"seed{seed}"
    data = out / "phantoms" if benchmark.data is None else benchmark.data

    def phantoms() -> None:
        if benchmark.data is None:
            phantoms_of = find_task(benchmark.task).phantom_name
            write_phantoms(phantoms_of, data, benchmark.subjects, seed, workers=2)

    datalist = {} if benchmark.datalist is None else {"datalist": benchmark.datalist}
    return Experiment(
        benchmark.task,
        data,
        out,
        seed=seed,
        arms=arms,
        bundles=benchmark.bundles,
        configs=() if benchmark.full_size else ("small.json",),
        common=datalist | {name: value for name, value in benchmark.overrides.items() if name != PROTOCOL},
        protocol=benchmark.protocol,
        guard=benchmark.guard,
        announce=announce,
        prepare=phantoms,
    )


def _results(experiment: Experiment, ablation: Ablation) -> tuple[list[Row], bytes | None]:
    """Rows of one seed with their measures, and the figure of an analysis."""
    rows = results_table(experiment, ablation.arms)
    if ablation.analysis == "bars":
        return rows, None
    folder = experiment.out / f"analysis_{ablation.name}"

    def work() -> None:
        ANALYSES[ablation.analysis](experiment, ablation.arms).write(folder)

    run_step(
        experiment.out,
        folder.name,
        f"look at {ablation.name}",
        folder / MEASURES,
        {
            "analysis": ablation.analysis,
            "runs": ", ".join(experiment.run_folder(a).name for a in ablation.arms),
        },
        work,
        experiment.announce,
    )
    analysis = Analysis.read(folder)
    measured = [row | {"measures": row["measures"] | analysis.measures.get(row["title"], {})} for row in rows]
    return measured, analysis.figure


def _content(
    benchmark: Benchmark, experiment: Experiment, ablation: Ablation, per_seed: dict[int, list[Row]]
) -> dict[str, Any]:
    device = experiment.device()
    names = {"processor": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}
    return {
        "name": ablation.name if benchmark.protocol is None else f"{ablation.name}_{benchmark.protocol}",
        "title": f"{ablation.title} ({find_task(benchmark.task).title})",
        "task": benchmark.task,
        "shows": ablation.shows,
        "paper": ablation.paper,
        "command": benchmark.command(ablation),
        "configuration": "Full size" if benchmark.full_size else "`small.json`",
        "overrides": benchmark.public_overrides(),
        "phantom": benchmark.data is None or is_phantom(benchmark.data),
        "subjects_a_domain": benchmark.subjects if benchmark.data is None else None,
        "rows": over_seeds(per_seed),
        "seeds": {str(seed): rows for seed, rows in per_seed.items()},
        "versions": package_versions()
        | ({"umap-learn": version("umap-learn")} if ablation.needs_umap else {}),
        "machine": machine() | {"device": device.partition(":")[0]} | names,
        "intended_use": "research; not for diagnosis",
    }


def _write(folder: Path, content: dict[str, Any], figure: bytes | None) -> None:
    name = content["name"]
    if figure is None:
        results = {
            row["title"]: {"mean": row["dice"]["per_seed"]}
            | {s: entry["per_seed"] for s, entry in row["dice_per_structure"].items()}
            for row in content["rows"]
        }
        kind = (", phantoms" if content["phantom"] else "") + f", protocol {content['rows'][0]['protocol']}"
        figure = spread_over_seeds(results, heading=content["title"] + kind)
    write_atomically(folder / f"{name}.png", figure)
    write_atomically(folder / f"{name}.md", as_markdown(content).encode())
    write_json(folder / f"{name}.json", content)


@contextmanager
def _steps_keep_their_warnings() -> Iterator[None]:
    """Warnings about the data stand in the steps' logs; no analysis repeats them on the terminal."""
    logger = logging.getLogger("monai_sfda.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
