"""Several processes that compute one job, as torchrun starts them; without it, all of this is a single
process.

The rule that losses, methods and engines rely on: each process holds a part of the batch, and what it
computes with the functions here is a value of the whole batch. Sums differentiate through all processes, so
that the gradients of the processes add up to the gradient of the whole batch (`add_gradients`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from monai_sfda.errors import SettingError

T = TypeVar("T")
# A process waits this long for the others: for the slowest to read its scans, not for one that has died,
# which torchrun notices by itself.
PATIENCE = timedelta(hours=1)


def launched() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start_processes() -> None:
    """Joins this process to the others that torchrun started; does nothing for a single one.

    CPU tensors travel by gloo, CUDA tensors by NCCL. Only the first process logs what is not an error.

    Raises:
        SettingError: when there are more processes on this machine than GPUs that they are to use.
    """
    if launched() == 1 or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise SettingError(
                f"{os.environ['LOCAL_WORLD_SIZE']} processes share {torch.cuda.device_count()} GPUs",
                remedy="start one process a GPU: torchrun --nproc_per_node with the number of GPUs",
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    if rank() > 0:
        logging.disable(logging.WARNING)


def end_processes() -> None:
    """Leaves the group; does nothing for a single process."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def local_device() -> str:
    """The device of this process: its own GPU where there are any, else the CPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def count() -> int:
    """How many processes compute this job."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def local() -> tuple[int, int, int]:
    """The machine's number, the process's number on it, and how many processes run on it."""
    if count() == 1:
        return 0, 0, 1
    names = ("GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    machine, number, processes = (int(os.environ[name]) for name in names)
    return machine, number, processes


def wait_for_all() -> None:
    """Returns when all processes have come here."""
    gather(None)


def gather(value: T) -> list[T]:
    """The values of all processes, in their order, on every process."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return cast("list[T]", values)


def on_first(compute: Callable[[], T]) -> T:
    """Computes on the first process; every process gets the value, or the error.

    For what is small and would otherwise be read by all.
    """
    value: list[Any] = [None, None]
    if is_first():
        try:
            value[0] = compute()
        except Exception as error:
            if count() == 1:
                raise
            value[1] = error
    if count() > 1:
        distributed.broadcast_object_list(value, src=0)
    if value[1] is not None:
        raise value[1]
    return cast(T, value[0])


def any_process(flag: bool) -> bool:
    """Whether the flag is set on any process."""
    if count() == 1:
        return flag
    flags = torch.tensor(float(flag))
    distributed.all_reduce(flags)
    return bool(flags > 0)


class _Sum(torch.autograd.Function):
    """Sum over processes. Each process's value enters the sum of all, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


def total(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, on every process; differentiable."""
    if count() == 1:
        return x
    return cast(Tensor, _Sum.apply(x))  # type: ignore[no-untyped-call]


def number_of_rows(rows: Tensor) -> int:
    """How many rows all processes hold together."""
    return sum(_rows_of_each(rows))


def place_of_rows(rows: Tensor) -> tuple[int, int]:
    """Number of this process's first row among those of all, and how many rows all hold together."""
    numbers = _rows_of_each(rows)
    return sum(numbers[: rank()]), sum(numbers)


def pick_rows(rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows of all processes' tensors, one under the other in the order of the processes.

    Args:
        rows: (N_r, ...) on process r.
        chosen: (M,) row numbers in the whole, the same on every process.

    Returns:
        (M, ...), the same on every process; differentiable. Half precision comes back as float32.
    """
    if count() == 1:
        return rows[chosen.to(rows.device)]
    first, _ = place_of_rows(rows)
    here = (chosen >= first) & (chosen < first + rows.shape[0])
    places = here.nonzero().squeeze(1).to(rows.device)
    mine = rows[(chosen[here] - first).to(rows.device)]
    if mine.dtype in (torch.float16, torch.bfloat16):
        mine = mine.float()
    empty = mine.new_zeros(chosen.shape[0], *rows.shape[1:])
    return total(empty.index_put((places,), mine))


def _rows_of_each(rows: Tensor) -> list[int]:
    if count() == 1:
        return [rows.shape[0]]
    numbers = torch.zeros(count(), dtype=torch.int64)
    numbers[rank()] = rows.shape[0]
    distributed.all_reduce(numbers)
    return [int(n) for n in numbers]


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by the sum over all processes, in one message a data type."""
    if count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for dtype in dict.fromkeys(g.dtype for g in gradients):
        alike = [g for g in gradients if g.dtype == dtype]
        message = torch.cat([g.flatten() for g in alike])
        distributed.all_reduce(message)
        for g, summed in zip(alike, message.split([g.numel() for g in alike]), strict=True):
            g.copy_(summed.view_as(g))


def copy_from_first(network: nn.Module) -> None:
    """Gives every process the first one's parameters and buffers."""
    if count() > 1:
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                distributed.broadcast(tensor, src=0)
