"""Makes the last printed line of a failed run ours, whatever MONAI wraps round the error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from monai_sfda.errors import OutputError, SfdaError

SHOW_TRACEBACK = "MONAI_SFDA_TRACEBACK"


def find_own_error(error: BaseException) -> SfdaError | None:
    """The package's own error in a chain of causes; a full disk or a forbidden file counts as one."""
    chain = list(_causes(error))
    for link in chain:
        if isinstance(link, SfdaError):
            return link
    for link in chain:
        if isinstance(link, OSError) and link.errno is not None and link.filename is not None:
            return OutputError(
                (link.strerror or type(link).__name__).lower(),
                path=Path(str(link.filename)).name,
                remedy="check that the file exists, may be read or written, and that the disk has space left",
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def error_line(error: SfdaError) -> str:
    """`monai_sfda: error: <what> in <file>: <remedy>`, on one line."""
    return "monai_sfda: error: " + " ".join(str(error).split())


def install() -> None:
    """Prints our errors as one last line on standard error, without a traceback.

    Set MONAI_SFDA_TRACEBACK=1 to see the traceback as well. Other errors keep Python's own report.
    """
    if getattr(sys.excepthook, "prints_own_errors", False):
        return
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        own = find_own_error(error)
        if own is None or os.environ.get(SHOW_TRACEBACK):
            before(kind, error, traceback)
        if own is not None:
            for bar in list(getattr(tqdm, "_instances", ())):
                bar.close()
            sys.stdout.flush()
            print(error_line(own), file=sys.stderr, flush=True)

    hook.prints_own_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook
