"""A process that does random operations on a store until it is killed; run by test_store_kills."""

from __future__ import annotations

import random
import sys
import traceback
from pathlib import Path

from monai_sfda.errors import StoreError
from monai_sfda.store import ModelStore

# What other processes may bring about at any moment; everything else is a fault of the store.
EXPECTED = ("was active before version", "has no version", "the guard rejected")


def operate(store: ModelStore, runs: list[Path], chance: random.Random) -> None:
    numbers = [version.number for version in store.versions("abdomen")]
    action = chance.choices(
        ("publish", "publish_active", "activate", "rollback", "prune", "verify"), (6, 3, 5, 3, 1, 1)
    )[0]
    if action == "publish":
        store.publish(chance.choice(runs))
    elif action == "publish_active":
        store.publish(chance.choice(runs), activate=True)
    elif action == "activate":
        store.activate("abdomen", chance.choice(numbers))
    elif action == "rollback":
        store.rollback("abdomen")
    elif action == "prune":
        store.prune("abdomen", keep=3)
    else:
        faults = store.verify("abdomen")
        assert faults == {}, faults


def main() -> None:
    root, seed = Path(sys.argv[1]), int(sys.argv[2])
    chance = random.Random(seed)
    store = ModelStore(root / "store", by=f"process {seed}")
    runs = sorted(path for path in root.iterdir() if path.name.startswith("run"))
    with (root / f"operations_{seed}").open("ab", buffering=0) as started:
        while True:
            started.write(b".")
            try:
                operate(store, runs, chance)
            except StoreError as error:
                if not any(text in str(error) for text in EXPECTED):
                    raise


if __name__ == "__main__":
    try:
        main()
    except Exception:
        (Path(sys.argv[1]) / f"fault_{sys.argv[2]}").write_text(traceback.format_exc(), encoding="utf-8")
        raise
