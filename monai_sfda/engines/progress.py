"""Progress of work that is no ignite engine: reading scans, fitting, inference."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from monai_sfda import processes


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, of the first process alone, driven by calls with (done, in all)."""
    with tqdm(
        total=0,
        desc=title,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
        leave=sys.stderr.isatty(),
        disable=not processes.is_first(),
    ) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
