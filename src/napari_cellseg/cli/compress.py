"""`napari-cellseg compress`."""

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import OK, Flag, Json, Many, Polarity, app
from napari_cellseg.cli.train import IMAGE_WORDS, tell
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import CompressSettings

if TYPE_CHECKING:
    from napari_cellseg.train.compress import Compressed

DEFAULTS = CompressSettings()


@app.command
def compress(
    model: Path,
    /,
    *,
    out: Path,
    run: Path | None = None,
    images: Many = None,
    masks: Many = None,
    polarity: Polarity | None = None,
    overwrite: Flag = False,
    json_: Json = False,
    settings: Annotated[CompressSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Make a segmenter smaller and faster, and say what that costs on what was held out in training.

    Parameters
    ----------
    model
        Model file (.safetensors).
    out
        Model file to write; the run of a pruned model is kept beside it as OUT.run.
    run
        The run folder the model was trained in; default: the one beside it.
    images
        Images to calibrate or train on and to score with, where there is no run.
    masks
        Their masks.
    polarity
        As in train.
    overwrite
        Replace an existing model and its run.
    json_
        Print the figures as JSON.
    """
    if bool(images) != bool(masks) or (run is not None and images):
        raise CellsegError(
            "--images, --masks and --run", "--images with --masks, or --run", "give one of them"
        )
    from napari_cellseg.nets.model import load_model
    from napari_cellseg.report.progress import Progress
    from napari_cellseg.train.compress import Compressed, find_run, run_of_files
    from napari_cellseg.train.compress import compress as compress_model

    trained = load_model(model)
    with ExitStack() as stack:
        if images and masks:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cellseg-run-"))
            run = Path(folder) / "run"
            run_of_files(run, trained, images, masks, polarity)
        progress = stack.enter_context(Progress("pruned, training on"))
        for record in compress_model(
            trained, out, run or find_run(trained), settings=settings, overwrite=overwrite
        ):
            if isinstance(record, Compressed):
                print(json.dumps(_facts(record), indent=2) if json_ else _table(record))
            else:
                tell(progress, record, IMAGE_WORDS)
    print(out, file=sys.stderr if json_ else sys.stdout)
    return OK


def _facts(found: "Compressed") -> dict[str, object]:
    return asdict(found) | {"faster": round(found.faster, 3), "loss": round(found.loss, 5)}


def _table(found: "Compressed") -> str:
    lines = [f"{'':8}{'size in MB':>12}{'ms a tile':>12}{'Dice':>10}"]
    for name, figures in (("before", found.before), ("after", found.after)):
        lines.append(f"{name:8}{figures.megabytes:>12.1f}{figures.tile_ms:>12.1f}{figures.score:>10.4f}")
    change = f"falls by {found.loss:.4f}" if found.loss > 0 else f"rises by {-found.loss:.4f}"
    return "\n".join(
        [*lines, f"{found.faster:.2f} times as fast; the score {change} (at most {found.most_loss:g})"]
    )
