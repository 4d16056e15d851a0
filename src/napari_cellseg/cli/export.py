"""`napari-cellseg export`."""

import sys
from pathlib import Path

from napari_cellseg.cli.app import OK, Flag, app


@app.command
def export(model: Path, /, *, to: str, out: Path, overwrite: Flag = False) -> int:
    """Write a model for another program; what it says there is compared with what it says here.

    Parameters
    ----------
    model
        Model file (.safetensors).
    to
        Which form: onnx, openvino or bioimageio; see `napari-cellseg list exporters`.
    out
        File to write: NAME.onnx, NAME.xml (NAME.bin comes beside it) or NAME.zip.
    overwrite
        Replace an existing file.
    """
    from napari_cellseg.nets.export import export_model
    from napari_cellseg.nets.model import load_model

    done = export_model(load_model(model, task="any"), to, out, overwrite=overwrite)
    size = "" if done.size is None else f"; takes {done.size[0]} x {done.size[1]} px only"
    print(f"probabilities differ from PyTorch's by at most {done.difference:.2g}{size}", file=sys.stderr)
    print(done.path)
    return OK
