"""Many files on many processors or machines: `SCHEDULERS`, on dask.distributed.

As many files are handed out as there are places to work, the next when one is through, so nothing
piles up anywhere. Workers read and write the files themselves: they need the same folders. Files
whose worker dies are tried again when the others are through, one by one, then given up.

What workers are sent is Python objects, as dask does it: whoever can reach the scheduler can run
code there. That of ``local:N`` listens on this machine only.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

RETRIES = 2
"""How often a file is tried again whose worker died."""

START_SECONDS = 120.0  # for the first worker of a cluster to answer
MEMORY_SHARE = 0.95  # of this machine's, for all workers of ``local:N``; one that takes more is ended
LOOK_SECONDS = 10.0
MALLOC_VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "MALLOC_ARENA_MAX": "1",
}
"""What `nets.backends.keep_freed_memory` does, for processes whose threads begin before it can be called."""
GPU = "GPU"


@dataclass(frozen=True)
class Scheduler:
    """What stands before the colon of ``--scheduler``.

    Attributes
    ----------
    connect : callable
        ``connect(text, name)`` is a context manager that gives a `distributed.Client`; `text` is what
        stands after the colon, `name` all of it.
    needs : str
        Package it takes.
    description : str
        One line for lists.
    """

    connect: Callable[[str, str], Any]
    needs: str
    description: str

    def missing(self) -> str:
        """Return why it cannot be used here, or an empty string."""
        if find_spec(self.needs) is None:
            return f"{self.needs} is not installed (pip install 'napari-cellseg[cluster]')"
        return ""


@dataclass(frozen=True)
class Progress:
    """So many of so many files are through; how long the others may take, by those."""

    done: int
    total: int
    seconds_left: float


def run_files(
    items: Sequence[Item],
    work: Callable[[Item], Outcome],
    *,
    scheduler: str,
    lost: Callable[[Item, str], Outcome],
    on_gpu: bool = False,
) -> Generator[tuple[Outcome, Progress], None, None]:
    """Yield what `work` makes of each item, in the order they come to an end.

    Parameters
    ----------
    items : sequence
        Files; each is worked on once, but for those whose worker died.
    work : callable
        Of a kind that can be sent to another process. Mistakes it knows of are outcomes.
    scheduler : str
        ``local:N`` (processes on this machine), ``tcp://host:port`` (a cluster that runs) or
        ``slurm:FILE.yaml``.
    lost : callable
        ``lost(item, why)`` makes the outcome of a file that was given up.
    on_gpu : bool
        Take workers with the resource "GPU" where the cluster has some, one file a device.

    Raises
    ------
    CellsegError
        Before anything is done: an unknown scheduler, one that is not installed or does not answer.
    """
    with connected(scheduler) as client:
        yield from _spread(client, list(items), work, lost, on_gpu=on_gpu)


def run_all(
    items: Sequence[Item],
    work: Callable[[Item], Outcome],
    scheduler: str,
    lost: Callable[[Item, str], Outcome],
) -> Generator[Outcome, None, None]:
    """Yield what `work` makes of each item, here one after the other where no scheduler is named."""
    if not scheduler:
        yield from map(work, items)
        return
    with closing(run_files(items, work, scheduler=scheduler, lost=lost)) as outcomes:
        for outcome, _ in outcomes:
            yield outcome


def check_scheduler(text: str) -> None:
    """Raise an error if a scheduler cannot be used, before anything else is done.

    Raises
    ------
    CellsegError
        If it is unknown or not installed.
    """
    kind, colon, rest = text.partition(":")
    if kind not in SCHEDULERS or not colon or not rest:
        expected = "local:N, tcp://HOST:PORT or slurm:FILE.yaml"
        raise CellsegError(f"--scheduler {text}", expected)
    if SCHEDULERS[kind].missing():
        raise CellsegError(f"--scheduler {text}: {SCHEDULERS[kind].missing()}")


@contextmanager
def connected(text: str) -> Iterator[Client]:
    """Give a client of the scheduler that a text names; what was started for it is ended after."""
    check_scheduler(text)
    kind, _, rest = text.partition(":")
    with SCHEDULERS[kind].connect(rest, text) as client:
        try:
            client.wait_for_workers(1, timeout=START_SECONDS)
        except TimeoutError:
            raise CellsegError(
                f"--scheduler {text}: no worker in {START_SECONDS:g} s", "one at least", "start some workers"
            ) from None
        yield client


def _spread(
    client: Client,
    items: list[Item],
    work: Callable[[Item], Outcome],
    lost: Callable[[Item, str], Outcome],
    *,
    on_gpu: bool,
) -> Generator[tuple[Outcome, Progress], None, None]:
    began, done = time.monotonic(), 0

    def told(outcome: Outcome) -> tuple[Outcome, Progress]:
        nonlocal done
        done += 1
        seconds = (time.monotonic() - began) / done * (len(items) - done)
        return outcome, Progress(done, len(items), seconds)

    again: list[Item] = []  # whose worker died: any file that it had may be to blame
    with closing(_in_parallel(client, items, work, on_gpu=on_gpu)) as outcomes:
        for item, outcome in outcomes:
            if outcome is None:
                again.append(item)
            else:
                yield told(outcome[0])
    for item in again:  # one at a time, so that it is known which
        for _ in range(RETRIES):
            ((_, outcome),) = _in_parallel(client, [item], work, on_gpu=on_gpu)
            if outcome is not None:
                yield told(outcome[0])
                break
        else:
            why = f"its worker died {RETRIES + 1} times, perhaps for lack of memory"
            yield told(lost(item, why))


def _in_parallel(
    client: Client, items: list[Item], work: Callable[[Item], Outcome], *, on_gpu: bool
) -> Generator[tuple[Item, tuple[Outcome] | None], None, None]:
    """Yield items with what became of them, None where the worker died; as many at a time as fit."""
    from distributed.scheduler import KilledWorker

    waiting = iter(items)
    at_work: dict[Future[Outcome], Item] = {}

    def hand_out() -> None:
        slots, needs = _slots(client, on_gpu)
        for item in itertools.islice(waiting, max(0, slots - len(at_work))):
            at_work[client.submit(work, item, pure=False, resources=needs or None)] = item

    try:
        hand_out()
        while at_work:
            for future in _ended(client, list(at_work)):
                item = at_work.pop(future)
                hand_out()
                error = future.exception() if future.status == "error" else None
                if error is not None and not isinstance(error, KilledWorker):
                    raise error
                yield item, None if error is not None else (future.result(),)
    finally:
        client.cancel(list(at_work))


def _ended(client: Client, futures: list[Future[Any]]) -> set[Future[Any]]:
    """Wait until some have ended, and return those.

    Raises
    ------
    CellsegError
        If there has been no worker for two minutes.
    """
    from distributed import wait

    seen = time.monotonic()
    while True:
        try:
            with client.as_current():
                ended: set[Future[Any]] = wait(futures, LOOK_SECONDS, return_when="FIRST_COMPLETED").done
            return ended
        except TimeoutError:
            if client.scheduler_info(n_workers=-1)["workers"]:
                seen = time.monotonic()
            if time.monotonic() - seen > START_SECONDS:
                raise CellsegError(
                    "all workers are gone", remedy="start some, and go on with --resume"
                ) from None


def _slots(client: Client, on_gpu: bool) -> tuple[int, dict[str, int]]:
    """Return how many files can be worked on at a time, and what each of them takes."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    devices = sum(int(worker.get("resources", {}).get(GPU, 0)) for worker in workers)
    if on_gpu and devices:
        return devices, {GPU: 1}
    return max(1, sum(worker["nthreads"] for worker in workers)), {}


@contextmanager
def _local(text: str, name: str) -> Iterator[Client]:
    """Start N processes on this machine, each with its share of the processors, or with a device."""
    import dask
    import psutil
    from distributed import Client, Nanny, Scheduler, SpecCluster

    if not text.isdecimal() or int(text) < 1:
        raise CellsegError(f"--scheduler {name}", "local:N with N processes, 1 or more")
    count = int(text)
    threads = max(1, processors() // count)
    devices = visible_devices()
    with tempfile.TemporaryDirectory(prefix="napari-cellseg-") as scratch:
        memory = int(MEMORY_SHARE * psutil.virtual_memory().total / count)
        shared = {"nthreads": 1, "memory_limit": memory, "local_directory": scratch, "host": "127.0.0.1"}
        shared["silence_logs"] = logging.CRITICAL  # that one died is told with its file
        workers = {}
        for number in range(count):
            environment = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
            options: dict[str, Any] = {**shared, "dashboard": False}
            if devices:
                environment["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
                options["resources"] = {GPU: 1}
            workers[number] = {"cls": Nanny, "options": options | {"env": environment}}
        head = {
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"},
        }
        before_they_begin = "distributed.nanny.pre-spawn-environ"
        settings = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.deploy.lost-worker-timeout": f"{START_SECONDS}s",  # to begin anew on a busy machine
            "distributed.worker.profile.enabled": False,
            "distributed.admin.tick.interval": "500ms",
            "distributed.admin.system-monitor.interval": "5s",
            before_they_begin: dask.config.get(before_they_begin) | MALLOC_VARIABLES,
        }
        with (
            dask.config.set(settings),
            _silence(),
            SpecCluster(workers=workers, scheduler=head, silence_logs=False) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


@contextmanager
def _silence() -> Iterator[None]:
    """Keep quiet about processes that begin and end."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _existing(text: str, name: str) -> Iterator[Client]:
    """Connect to a cluster that runs."""
    from distributed import Client

    try:
        client = Client(name, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CellsegError(
            f"--scheduler {name}: no answer ({str(error).splitlines()[0][:120]})",
            "the address that `dask scheduler` printed",
        ) from None
    with client:
        yield client


@contextmanager
def _slurm(text: str, name: str) -> Iterator[Client]:
    """Ask Slurm for jobs, each a worker; they end with the work."""
    from distributed import Client

    with ExitStack() as stack:
        cluster, jobs = slurm_cluster(Path(text))
        stack.enter_context(cluster)
        cluster.scale(jobs=jobs)
        yield stack.enter_context(Client(cluster, set_as_default=False))


def slurm_cluster(path: Path) -> tuple[Any, int]:
    """Return the cluster that a file describes, and how many jobs it asks for.

    The file holds the arguments of `dask_jobqueue.SLURMCluster` (queue, cores, memory, walltime,
    job_extra_directives ...) and ``jobs``.

    Raises
    ------
    CellsegError
        If the file is missing or says something that SLURMCluster does not take.
    """
    import yaml
    from dask_jobqueue.slurm import SLURMCluster

    try:
        plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CellsegError(
            f"{path}: {str(error).splitlines()[0]}", "a YAML file that describes jobs"
        ) from None
    if not isinstance(plan, dict) or not isinstance(plan.get("jobs"), int) or plan["jobs"] < 1:
        raise CellsegError(f"{path}: no `jobs`", "how many jobs to ask for, as in `jobs: 16`")
    jobs = plan.pop("jobs")
    try:
        return SLURMCluster(**{"processes": 1, **plan}), jobs
    except (TypeError, ValueError) as error:
        raise CellsegError(f"{path}: {error}", "arguments of dask_jobqueue.SLURMCluster") from None


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def visible_devices() -> list[str]:
    """Return the graphics cards this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


SCHEDULERS: dict[str, Scheduler] = {
    "local": Scheduler(_local, "distributed", "local:N - N processes on this machine"),
    "tcp": Scheduler(_existing, "distributed", "tcp://HOST:PORT - a dask cluster that runs"),
    "tls": Scheduler(_existing, "distributed", "tls://HOST:PORT - the same, encrypted"),
    "slurm": Scheduler(_slurm, "dask_jobqueue", "slurm:FILE.yaml - jobs that Slurm is asked for"),
}
