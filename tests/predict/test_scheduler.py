"""Many files in other processes: one that kills its worker stops no other."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_cellseg.errors import CellsegError
from napari_cellseg.predict import scheduler
from napari_cellseg.predict.scheduler import (
    RETRIES,
    SCHEDULERS,
    check_scheduler,
    connected,
    processors,
    run_files,
    slurm_cluster,
)


@dataclass(frozen=True)
class Count:
    """Notes in a folder that a file was begun; kills its process the first times for some."""

    folder: Path
    killers: tuple[tuple[str, int], ...] = ()

    def __call__(self, name):
        begun = self.folder / name
        begun.mkdir(exist_ok=True)
        (begun / f"{time.monotonic_ns()}-{os.getpid()}").touch()
        if len(list(begun.iterdir())) <= dict(self.killers).get(name, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "wrong":
            raise CellsegError("disk full")
        return name, "done", os.environ.get("OMP_NUM_THREADS")


def lost(name, why):
    return name, why, None


@pytest.fixture(autouse=True)
def tests_can_be_imported(monkeypatch):
    """By workers too, which get the path of this process."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def device():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def times(folder, name):
    return len(list((folder / name).iterdir()))


def test_files_are_spread_and_one_that_kills_its_worker_is_retried_then_given_up(tmp_path):
    names = [f"file{number}" for number in range(6)]
    work = Count(tmp_path, (("file1", 1), ("file3", 99)))
    found = list(run_files(names, work, scheduler="local:2", lost=lost))
    outcomes = {name: said for (name, said, _), _ in found}
    assert outcomes.pop("file3").startswith(f"its worker died {RETRIES + 1} times")
    assert outcomes == {name: "done" for name in names if name != "file3"}
    assert times(tmp_path, "file1") == 2
    assert times(tmp_path, "file3") == RETRIES + 1
    assert all(times(tmp_path, name) <= 2 for name in ("file0", "file2", "file4", "file5"))
    assert {threads for (_, said, threads), _ in found if said == "done"} == {str(max(1, processors() // 2))}
    steps = [step for _, step in found]
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1].seconds_left == 0
    assert all(step.seconds_left > 0 for step in steps[:-1])


def test_an_error_that_ends_everything_and_a_caller_who_leaves(tmp_path):
    with pytest.raises(CellsegError, match="disk full"):
        list(run_files(["wrong"], Count(tmp_path), scheduler="local:1", lost=lost))
    outcomes = run_files(["a", "b", "c"], Count(tmp_path), scheduler="local:1", lost=lost)
    next(outcomes)
    outcomes.close()
    assert not (tmp_path / "c").exists()


def test_a_cluster_that_runs_is_used_and_left_running(tmp_path):
    with connected("local:1") as client:
        address = client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        for _ in range(2):
            (((name, said, _), _),) = run_files(["a"], Count(tmp_path), scheduler=address, lost=lost)
            assert (name, said) == ("a", "done")


def test_one_file_a_device(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "visible_devices", lambda: ["3", "5"])
    with connected("local:3") as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert [worker["resources"] for worker in workers] == [{"GPU": 1}] * 3
        seen = client.run(device).values()
        assert sorted(seen) == ["3", "3", "5"]
        assert scheduler._slots(client, True) == (3, {"GPU": 1})
        assert scheduler._slots(client, False) == (3, {})
        found = scheduler._spread(client, ["a"], Count(tmp_path), lost, on_gpu=True)
        assert [name for (name, *_), _ in found] == ["a"]


@pytest.mark.parametrize("text", ["", "local", "local:", "moon:3", "4"])
def test_what_is_no_scheduler(text):
    with pytest.raises(CellsegError, match=r"local:N, tcp://HOST:PORT or slurm:FILE\.yaml"):
        check_scheduler(text)


@pytest.mark.parametrize("text", ["local:0", "local:many", "local:-1"])
def test_what_is_no_number_of_processes(text):
    with pytest.raises(CellsegError, match="1 or more"), connected(text):
        pass


def test_a_cluster_that_does_not_answer(monkeypatch):
    with (
        pytest.raises(CellsegError, match=r"tcp://127\.0\.0\.1:1: no answer"),
        connected("tcp://127.0.0.1:1"),
    ):
        pass


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(scheduler, "find_spec", lambda name: None)
    with pytest.raises(CellsegError, match=r"pip install 'napari-cellseg\[cluster\]'"):
        check_scheduler("local:2")


def test_slurm_jobs_are_as_the_file_says(tmp_path):
    plan = tmp_path / "jobs.yaml"
    plan.write_text(
        "jobs: 3\nqueue: gpu\ncores: 4\nmemory: 16GB\nwalltime: '02:00:00'\n"
        "job_extra_directives: ['--gres=gpu:1']\ninterface: lo\n"
    )
    cluster, jobs = slurm_cluster(plan)
    with cluster:
        script = cluster.job_script()
    assert jobs == 3
    for line in ("#SBATCH -p gpu", "#SBATCH --gres=gpu:1", "#SBATCH -t 02:00:00", "--nthreads 4"):
        assert line in script


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves half a cluster
@pytest.mark.parametrize(
    ("text", "says"),
    [("cores: 1", "jobs: 16"), ("jobs: 2\ncolour: red", "SLURMCluster"), ("[", "YAML"), (None, "YAML")],
)
def test_a_file_that_describes_no_jobs(text, says, tmp_path):
    if text is not None:
        (tmp_path / "jobs.yaml").write_text(text)
    with pytest.raises(CellsegError, match=says):
        slurm_cluster(tmp_path / "jobs.yaml")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_described(name):
    assert SCHEDULERS[name].description
    assert SCHEDULERS[name].missing() == ""
