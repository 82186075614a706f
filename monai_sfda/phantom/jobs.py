"""What the phantom data sets share: a subject's seeds, groups of subjects, the job of writing one subject."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_sfda.catalog import Domain, SeededSplit
from monai_sfda.errors import SettingError


@dataclass(frozen=True)
class SubjectSeeds:
    """Independent seeds of one subject: of anatomy, sampling grid, scanner, and of chance in imaging."""

    anatomy: np.random.SeedSequence
    grid: np.random.SeedSequence
    scanner: np.random.SeedSequence
    imaging: np.random.SeedSequence

    @classmethod
    def of(cls, seed: int, group: str, subject: str) -> SubjectSeeds:
        """They depend on the data set's seed and the subject alone, not on how many subjects there are."""
        key = zlib.crc32(f"{group}/{subject}".encode())
        return cls(*np.random.SeedSequence([seed, key]).spawn(4))


@dataclass(frozen=True)
class Group:
    """Subjects that are written alike: a domain of the abdomen's task, a grade of tumour of the brain.

    Attributes:
        name: `source`, `target`; `HGG`, `LGG`.
        dataset: whose layout they have.
        ids: of the subjects.
    """

    name: str
    dataset: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One subject to write.

    Attributes:
        out: folder of the data set.
        group, dataset: of the subject's `Group`.
        subject: id.
        seed: of the data set.
        matrix: pixels across a slice.
        t1dual: write the two-point gradient echo too, where there is one.
    """

    out: Path
    group: str
    dataset: str
    subject: str
    seed: int
    matrix: int
    t1dual: bool


@dataclass(frozen=True)
class PhantomTask:
    """How the phantoms of a task are made.

    Attributes:
        matrix: default number of pixels across a slice.
        groups: the groups for a number of subjects and a matrix; a `SettingError` for impossible ones.
        write: writes one subject, unless it is there already.
        t1dual: whether a two-point gradient echo can be asked for.
        describe: writes what belongs to the data set as a whole, before the subjects; None for nothing.
        version: raised whenever the same seed would give other images.
    """

    matrix: int
    groups: Callable[[int, int], list[Group]]
    write: Callable[[Job, SubjectSeeds], None]
    t1dual: bool = False
    describe: Callable[[Path, list[Group]], None] | None = None
    version: int = 2


def choose_subjects(domain: Domain, count: int) -> list[str]:
    """`count` official ids in the order of the official list; a larger choice contains every smaller one.

    About the official share of them are test subjects: at least 1 of 2, and at least 3 of 10.

    Args:
        domain: with official subject ids.
        count: of subjects.

    Raises:
        SettingError: when there are fewer official ids, or less than one is asked for.
    """
    if isinstance(domain.splits, SeededSplit):
        raise SettingError(f"{domain.title} has no official subject ids", remedy="name the subjects")
    test = list(dict.fromkeys(domain.splits["test"]))
    train = [s for s in dict.fromkeys((*domain.splits["train"], *domain.splits["val"])) if s not in test]
    total = len(train) + len(test)
    if not 1 <= count <= total:
        raise SettingError(
            f"{count} subjects per domain are not possible",
            remedy=f"give 1 to {total}, as {domain.title} has {total} subjects",
        )
    minimum = 3 if count >= 10 else 1 if count >= 2 else 0
    tests = min(max(round(count * len(test) / total), minimum, count - len(train)), len(test))
    return sorted(train[: count - tests] + test[:tests], key=lambda subject: (len(subject), subject))


@contextmanager
def temporary_folder(job: Job) -> Iterator[Path]:
    """A folder beside the final place, gone afterwards; what an interrupted run left is removed first."""
    folder = job.out / f".{job.group}-{job.subject}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
