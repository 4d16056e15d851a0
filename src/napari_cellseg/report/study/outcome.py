"""What came of one training of one system: figures as JSON types."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.whole_files import write_whole
from napari_cellseg.train.records import Epoch, Finished, Record, Started, from_line


@dataclass(frozen=True)
class Training:
    """How a network was trained.

    Attributes
    ----------
    parameters : int
        Weights of the network.
    device, precision : str
    epochs : tuple of dict
        The `Epoch` records, one an epoch.
    best_epoch : int
    ended : str
        "done", "time" or "early stopping".
    seconds : float
        What the training took, without starting the process.
    peak_mb : float
        Most memory of the process, in 10**6 bytes.
    device_peak_mb : float or None
        Most memory on the graphics card, where there is one.
    notices : tuple of str
        What the training said at its start.
    """

    parameters: int
    device: str
    precision: str
    epochs: tuple[dict[str, Any], ...]
    best_epoch: int
    ended: str
    seconds: float
    peak_mb: float
    device_peak_mb: float | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a system in one trial.

    Attributes
    ----------
    system, trial : str
    message : str
        Why it failed; empty if it did not.
    training : Training or None
    segment_seconds : dict
        Seconds to segment each tested image, by its name.
    segment_peak_mb : float or None
        Most memory of the process that segmented, in 10**6 bytes.
    scores : dict
        What `image_scores` returned for each tested image, by its name.
    """

    system: str
    trial: str
    message: str = ""
    training: Training | None = None
    segment_seconds: dict[str, float] = field(default_factory=dict)
    segment_peak_mb: float | None = None
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return what `to_json` described."""
        training = values["training"]
        if training is not None:
            training = Training(
                **training | {key: tuple(training.get(key, ())) for key in ("epochs", "notices")}
            )
        return cls(**values | {"training": training})


def read_training(run: Path, *, peak_mb: float) -> Training:
    """Return how the training of a run folder went, as its ``events.jsonl`` tells.

    Of an epoch that was done again after an interruption the last record counts.
    """
    started, finished, epochs = None, None, dict[int, dict[str, Any]]()
    for record in _records((run / "events.jsonl").read_text(encoding="utf-8").splitlines()):
        if isinstance(record, Started):
            started = record
        elif isinstance(record, Epoch):
            epochs[record.epoch] = asdict(record)
        elif isinstance(record, Finished):
            finished = record
    if started is None or finished is None:
        raise CellsegError(f"{run}: the training did not end", remedy="see train.log beside it")
    return Training(
        parameters=started.parameters,
        device=started.device,
        precision=started.precision,
        epochs=tuple(epochs[number] for number in sorted(epochs)),
        best_epoch=finished.best_epoch,
        ended=finished.reason,
        seconds=finished.seconds,
        peak_mb=peak_mb,
        device_peak_mb=finished.device_peak_mb,
        notices=started.notices,
    )


def _records(lines: Iterable[str]) -> Iterable[Record]:
    for line in lines:
        try:
            yield from_line(line)
        except ValueError:  # cut off when the process was killed
            continue


def write_json(path: Path, values: Any) -> None:
    """Write JSON whole."""
    write_whole(path, json.dumps(values, indent=1, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Return the JSON in a file of a study.

    Raises
    ------
    CellsegError
        If it is not there or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CellsegError(f"{path}: no such file", "the folder of a study") from None
    except (OSError, ValueError) as error:
        raise CellsegError(f"{path}: cannot be read ({error})", "JSON that a study wrote") from None
