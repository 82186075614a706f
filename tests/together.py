"""Runs a function in several processes that belong to one job, as torchrun would start them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
from torch import multiprocessing


def run_together(function, folder: Path, *arguments, processes: int = 2) -> list:
    """What `function(*arguments)` returns on each process; must be importable and return what torch saves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(
        _process, (function, arguments, folder, processes, port), nprocs=processes, start_method="spawn"
    )
    return [torch.load(folder / f"process{rank}.pt", weights_only=False) for rank in range(processes)]


def _process(rank: int, function, arguments, folder: Path, processes: int, port: int) -> None:
    from monai_sfda.processes import end_processes, start_processes

    environment = {
        "RANK": rank,
        "WORLD_SIZE": processes,
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": processes,
        "GROUP_RANK": 0,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    start_processes()
    torch.save(function(*arguments), folder / f"process{rank}.pt")
    end_processes()
