"""`napari-cellseg info` and `napari-cellseg list`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from napari_cellseg.cli.app import OK, SOME_FAILED, Json, app
from napari_cellseg.errors import CellsegError

Kind = Literal[
    "architectures",
    "encoders",
    "backbones",
    "heads",
    "losses",
    "presets",
    "readers",
    "crop-readers",
    "coordinate-readers",
    "writers",
    "class-writers",
    "backends",
    "exporters",
    "steps",
    "explainers",
    "tracers",
]


@app.command
def info(files: Annotated[list[str], Parameter(negative=())], /, *, json_: Json = False) -> int:
    """Say what files are: images, models, single cells, coordinates, project and run folders.

    Parameters
    ----------
    files
        Files or folders.
    json_
        Print JSON instead.
    """
    from napari_cellseg.report.describe import describe

    found, failed = [], 0
    for file in files:
        try:
            found.append(describe(Path(file)))
        except CellsegError as error:
            if len(files) == 1:
                raise
            failed += 1
            print(f"napari-cellseg: {error}", file=sys.stderr)
    if json_:
        print(json.dumps(found, indent=2))
    for facts in [] if json_ else found:
        print(f"{facts.pop('path')}: {facts.pop('kind')}")
        for name, value in facts.items():
            print(f"  {name:<14} {_plain(value)}")
    return SOME_FAILED if failed else OK


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items()) or "none"
    return "unknown" if value is None else str(value)


REGISTRIES: dict[str, tuple[str, str]] = {
    "architectures": ("napari_cellseg.nets.segmenters", "ARCHITECTURES"),
    "encoders": ("napari_cellseg.nets.encoders", "ENCODERS"),
    "backbones": ("napari_cellseg.nets.classifiers", "BACKBONES"),
    "heads": ("napari_cellseg.nets.classifiers", "HEADS"),
    "losses": ("napari_cellseg.nets.losses", "LOSSES"),
    "presets": ("napari_cellseg.nets.classifier_presets", "EVERY_PRESET"),
    "readers": ("napari_cellseg.images.micrographs", "READERS"),
    "crop-readers": ("napari_cellseg.images.crops", "READERS"),
    "coordinate-readers": ("napari_cellseg.formats.kinds", "READERS"),
    "writers": ("napari_cellseg.formats.kinds", "WRITERS"),
    "class-writers": ("napari_cellseg.formats.class_kinds", "CLASS_WRITERS"),
    "backends": ("napari_cellseg.nets.backends", "BACKENDS"),
    "exporters": ("napari_cellseg.nets.export", "EXPORTERS"),
    "steps": ("napari_cellseg.predict.postprocess", "STEPS"),
    "explainers": ("napari_cellseg.predict.explainers", "EXPLAINERS"),
    "tracers": ("napari_cellseg.objects.filaments", "TRACERS"),
}


@app.command(name="list")
def list_(kind: Kind, /, *, json_: Json = False) -> int:
    """List what a setting may be.

    Parameters
    ----------
    kind
        Which registry.
    json_
        Print JSON instead.
    """
    from importlib import import_module

    module, name = REGISTRIES[kind]
    entries = []
    for key, entry in getattr(import_module(module), name).items():
        facts = {"name": key, "description": entry if isinstance(entry, str) else entry.description}
        missing = getattr(entry, "missing", str)()
        entries.append(facts | ({"missing": missing} if missing else {}))
    if json_:
        print(json.dumps(entries, indent=2))
    width = max(14, *(len(facts["name"]) for facts in entries))
    for facts in [] if json_ else entries:
        missing = f" (cannot be used here: {facts['missing']})" if "missing" in facts else ""
        print(f"{facts['name']:<{width}} {facts['description']}{missing}")
    return OK
