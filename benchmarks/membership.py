"""Can one tell from a release whether a subject was in the training set? Attacks on phantoms, with intervals.

Small source models are trained on random halves of a phantom population, and made into what a release states.
Each attack scores every subject against every release. A second experiment holds one network fixed, which has
seen none of them, and makes the statistics alone from 3 to 16 subjects. A step whose numbers are there is not
run again.

    python -m benchmarks.membership --work runs/membership --seed 0 --record
"""

from __future__ import annotations

import argparse
import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.membership_attacks import (
    Bools,
    Floats,
    bootstrap_interval,
    calibrated,
    closeness,
    combined,
    found_at,
    log_likelihood,
    map_closeness,
    mean_auc,
    standardised,
)
from benchmarks.membership_models import (
    Population,
    Subject,
    halves,
    read_scores,
    stacks,
    train,
    write_population,
)
from monai_sfda.catalog import ABDOMEN
from monai_sfda.disclosure import MINIMUM_SUBJECTS
from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard import compare, fit_reference
from monai_sfda.release import package_versions
from monai_sfda.workflow.results import machine

HERE = Path(__file__).parent / "results"
STATISTICS = {
    "prototypes": "class prototypes: likelihood of its embeddings",
    "class_ratio": "class ratios: distance of its own",
    "reference_scans": "reference scans: mean deviation",
}
ATLAS = "atlas"
# Of labels alone: no network has a part in it.
RELEASED = STATISTICS | {ATLAS: "atlas: distance of its own map"}
WEIGHTS = "weights"
TITLES = RELEASED | {
    "statistics": "these four together",
    WEIGHTS: "weights: its loss",
    "everything": "all together",
}
Row = dict[str, Any]


def statistics_scores(everybody: Sequence[Subject], member: Bools) -> dict[str, list[float]]:
    """Each subject's scores against the statistics of a release of the members."""
    inside = [subject for subject, is_in in zip(everybody, member, strict=True) if is_in]
    fit = copy.deepcopy(inside[0].fit)
    for subject in inside[1:]:
        fit.merge(subject.fit)
    prototypes = fit.finish(minimum_subjects=MINIMUM_SUBJECTS)
    ratios = np.stack([subject.ratios for subject in everybody])
    released = np.mean([subject.ratios for subject in inside], axis=0)
    reference = fit_reference(
        [subject.profile for subject in inside],
        [str(number) for number in range(len(inside))],
        ABDOMEN.labels,
        domain="source",
        scans="training",
    )
    assert reference is not None  # at least three subjects
    deviations = [compare(subject.profile, reference, ABDOMEN.labels).aspects for subject in everybody]
    return {
        "prototypes": [log_likelihood(subject.moments, prototypes) for subject in everybody],
        "class_ratio": [closeness(own, released, ratios.std(0)) for own in ratios],
        "reference_scans": [-float(np.mean(list(values.values()))) for values in deviations],
    }


def run_models(work: Path, population: Population, member: Bools, iterations: int, seed: int) -> list[Path]:
    """A model of each row's members, and every subject's scores against its release."""
    done = []
    for number, row in enumerate(member):
        path = work / "models" / f"{number:02d}.json"
        done.append(path)
        if path.is_file():
            continue
        items = [item for item, is_in in zip(population.items, row, strict=True) if is_in]
        dataset = stacks(population.folder, items, f"model_{number:02d}")
        network = train(
            dataset, work / "runs" / f"{number:02d}", iterations=iterations, seed=1000 * seed + number
        )
        everybody = population.seen_by(network)
        scores = statistics_scores(everybody, row)
        scores[WEIGHTS] = [-subject.loss for subject in everybody]
        scores["dice"] = [subject.dice for subject in everybody]
        write_json(path, scores)
        dice = np.array(scores["dice"])
        print(f"model {number}: Dice {dice[row].mean():.3f} in, {dice[~row].mean():.3f} out", flush=True)
    return done


def run_draws(
    work: Path, population: Population, sizes: Sequence[int], draws: int, iterations: int, seed: int
) -> dict[int, Path]:
    """Statistics of random subjects by a network that has seen none of them."""
    paths = {size: work / "draws" / f"{size:02d}.json" for size in sizes}
    if all(path.is_file() for path in paths.values()):
        return paths
    others = work / "others"
    items = write_population(others, len(population) // 2, seed + 500)
    network = train(
        stacks(others, items, "others"), work / "runs" / "others", iterations=iterations, seed=seed
    )
    everybody = population.seen_by(network)
    for size, path in paths.items():
        if path.is_file():
            continue
        rng = np.random.default_rng([seed, size])
        member = np.zeros((draws, len(population)), dtype=np.bool_)
        for row in member:
            row[rng.permutation(len(population))[:size]] = True
        found = [statistics_scores(everybody, row) for row in member]
        content: dict[str, Any] = {name: [scores[name] for scores in found] for name in STATISTICS}
        write_json(path, content | {"member": member.astype(int).tolist()})
        print(f"statistics of {size} subjects: {draws} draws", flush=True)
    return paths


def atlas_scores(path: Path, population: Population, member: Bools) -> Floats:
    """(models, subjects) closeness of each subject's own map to the atlas of each model's members."""
    if not path.is_file():
        own = [population.atlas_of([number]) for number in range(len(population))]
        released = [population.atlas_of(np.flatnonzero(row).tolist()) for row in member]
        write_json(path, {ATLAS: [[map_closeness(one, atlas) for one in own] for atlas in released]})
    return np.array(read_scores(path)[ATLAS])


def rows_of(
    raw: dict[str, Floats], member: Bools, groups: dict[str, list[str]], draws: int, *, models_too: bool
) -> list[Row]:
    """A row an attack: AUC and interval, as it is and calibrated, and what is found at few false alarms."""
    plain = {name: standardised(scores) for name, scores in raw.items()}
    calm = {name: calibrated(scores, member) for name, scores in plain.items()}
    for name, parts in groups.items():
        plain[name] = combined([plain[part] for part in parts])
        calm[name] = combined([calm[part] for part in parts])
    rows = []
    for name in TITLES:
        if name not in plain:
            continue
        row: Row = {"attack": name, "title": TITLES[name]}
        for kind, scores in (("plain", plain[name]), ("calibrated", calm[name])):
            low, high = bootstrap_interval(scores, member, draws=draws, models_too=models_too)
            row[kind] = {
                "auc": mean_auc(scores, member),
                "low": low,
                "high": high,
                "found_at_5_percent": found_at(scores, member),
            }
        rows.append(row)
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown lines."""
    lines = [
        "| attack | AUC | 95% interval | AUC, calibrated | 95% interval | members found at 5% false alarms |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        plain, calm = row["plain"], row["calibrated"]
        lines.append(
            f"| {row['title']} | {plain['auc']:.2f} | {plain['low']:.2f} to {plain['high']:.2f} | "
            f"**{calm['auc']:.2f}** | {calm['low']:.2f} to {calm['high']:.2f} | "
            f"{100 * calm['found_at_5_percent']:.0f}% |"
        )
    return lines


def as_markdown(content: dict[str, Any]) -> str:
    """The tables, with what they are."""
    setup = content["setup"]
    half, subjects = setup["subjects"] // 2, setup["subjects"]
    lines = [
        "# Was this subject in the training set? (phantoms, not for diagnosis)",
        "",
        f"Command: `{content['command']}`",
        "",
        f"{setup['models']} source models on random halves ({half}) of {subjects} abdomen MR phantoms of "
        f"{setup['pixels']} pixels, {setup['iterations']} steps of 8 slices each; mean Dice "
        f"{setup['dice_in']:.3f} on subjects that were in, {setup['dice_out']:.3f} on others.",
        "AUC: probability that a subject that was in scores higher than one that was not, mean over models;",
        "0.5 is a guess. Calibrated: minus the subject's mean score over models that were made without it.",
        "Intervals: 95%, bootstrap over subjects and models.",
        "",
        "## The release as it is: weights and statistics of the same subjects",
        "",
        *table(content["models"]),
        "",
        "## The statistics alone: one network that has seen none of the subjects",
        "",
        f"{setup['draws']} random sets of each size. Intervals from the bootstrap over subjects, for this "
        "one network.",
        "",
    ]
    for size, rows in content["draws"].items():
        lines += [f"### Of {size} subjects", "", *table(rows), ""]
    lines += [f"![AUC by attack, and by number of subjects]({MEMBERSHIP}.png)"]
    return "\n".join(lines) + "\n"


MEMBERSHIP = "membership"


def figure(content: dict[str, Any]) -> bytes:
    """AUC with intervals: of each attack on the releases, and of the statistics by number of subjects."""
    import matplotlib.pyplot as plt

    drawn, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    rows = content["models"]
    for place, row in enumerate(rows):
        for shift, kind, colour in ((0.12, "plain", "0.55"), (-0.12, "calibrated", "tab:blue")):
            value = row[kind]
            left.plot([value["low"], value["high"]], [-place + shift] * 2, color=colour, lw=2)
            left.plot(value["auc"], -place + shift, "o", color=colour, label=kind if place == 0 else None)
    left.set_yticks([-place for place in range(len(rows))], [row["title"] for row in rows])
    left.axvline(0.5, color="black", lw=0.8, ls=":")
    left.set_xlim(0.3, 1.0)
    left.set_xlabel("AUC (0.5: a guess)")
    left.set_title(f"Releases of {content['setup']['subjects'] // 2} subjects", fontsize=10, pad=24)
    left.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncol=2)
    sizes = [int(size) for size in content["draws"]]
    for name, marker in zip((*RELEASED, "statistics"), "osvD^", strict=True):
        found = [
            next(row["calibrated"] for row in of_size if row["attack"] == name)
            for of_size in content["draws"].values()
        ]
        auc = np.array([value["auc"] for value in found])
        error = [auc - [value["low"] for value in found], [value["high"] for value in found] - auc]
        right.errorbar(sizes, auc, error, marker=marker, capsize=3, label=TITLES[name].split(":")[0])
    right.axhline(0.5, color="black", lw=0.8, ls=":")
    right.set_ylim(0.3, 1.02)
    right.set_xticks(sizes)
    right.set_xlabel("subjects behind the statistics")
    right.set_ylabel("AUC, calibrated")
    right.set_title("Statistics alone, network of other subjects", fontsize=10)
    right.legend(frameon=False)
    drawn.suptitle("Membership attacks on phantoms; not for diagnosis", fontsize=11)
    drawn.tight_layout()
    stored = io.BytesIO()
    drawn.savefig(stored, dpi=110)
    plt.close(drawn)
    return stored.getvalue()


def main() -> None:
    """Runs what is missing, prints the tables and writes them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for phantoms, models and numbers")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--subjects", type=int, default=32, help="phantom subjects; half of them in a model")
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--iterations", type=int, default=600, help="training steps of a model")
    parser.add_argument("--sizes", default="3,5,10,16", help="subjects behind the statistics alone, by comma")
    parser.add_argument("--draws", type=int, default=60, help="random sets of each size")
    parser.add_argument("--bootstrap", type=int, default=1000, help="draws of the bootstrap")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work, seed = given.work, given.seed
    population = Population(work / "population", write_population(work / "population", given.subjects, seed))
    member = halves(given.subjects, given.models, seed)
    models = [read_scores(path) for path in run_models(work, population, member, given.iterations, seed)]
    raw = {name: np.array([scores[name] for scores in models]) for name in (*STATISTICS, WEIGHTS)}
    raw[ATLAS] = atlas_scores(work / "atlas" / "models.json", population, member)
    groups = {"statistics": list(RELEASED), "everything": [*RELEASED, WEIGHTS]}
    dice = np.array([scores["dice"] for scores in models])
    sizes = [int(size) for size in given.sizes.split(",")]
    draws: dict[str, list[Row]] = {}
    for size, path in run_draws(work, population, sizes, given.draws, given.iterations, seed).items():
        content = read_scores(path)
        drawn = np.array(content["member"], dtype=np.bool_)
        of_draws = {name: np.array(content[name]) for name in STATISTICS}
        of_draws[ATLAS] = atlas_scores(work / "atlas" / f"{size:02d}.json", population, drawn)
        draws[str(size)] = rows_of(
            of_draws,
            drawn,
            {"statistics": list(RELEASED)},
            min(given.bootstrap, 200),
            models_too=False,
        )
    options = f"--subjects {given.subjects} --models {given.models} --iterations {given.iterations}"
    result = {
        "what": "membership attacks on releases of phantoms (simulated); not for diagnosis",
        "phantom": True,
        "command": f"python -m benchmarks.membership --work DIR --seed {seed} {options} "
        f"--sizes {given.sizes} --draws {given.draws} --record",
        "setup": {
            "seed": seed,
            "subjects": given.subjects,
            "models": given.models,
            "iterations": given.iterations,
            "draws": given.draws,
            "pixels": 64,
            "dice_in": float(dice[member].mean()),
            "dice_out": float(dice[~member].mean()),
        },
        "models": rows_of(raw, member, groups, given.bootstrap, models_too=True),
        "draws": draws,
        "versions": package_versions(),
        "machine": machine(),
    }
    print(as_markdown(result))
    where = HERE if given.record else work
    write_json(where / f"{MEMBERSHIP}.json", result)
    write_atomically(where / f"{MEMBERSHIP}.md", as_markdown(result).encode())
    write_atomically(where / f"{MEMBERSHIP}.png", figure(result))


if __name__ == "__main__":
    main()
