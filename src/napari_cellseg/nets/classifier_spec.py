"""What a trained classifier of single cells is and how it is fed; importing this costs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from napari_cellseg.nets.cell_nets import CellNet

SCHEMA = 1
UNCLASSIFIED = "unclassified"
"""Label of a cell whose confidence is below the threshold of its class."""


@dataclass(frozen=True)
class ClassifierSpec:
    """What a network that names cells is, and how it is fed.

    Attributes
    ----------
    architecture, head : str
        Names of `nets.classifiers.BACKBONES` (or of a timm model) and `HEADS`.
    classes : tuple of str
        Output k of the network is class k.
    channels : tuple of str
        Names of the channels a cell must have, in the network's order.
    size : (int, int)
        Height and width to which cells are scaled.
    bounds : tuple of (float, float)
        For each channel the intensities that become 0 and 1, from the training part.
    measured : str
        What the head is told beside the picture: "none", "size" or "all".
    temperature : float
        Logits are divided by it before the softmax, so that confidences are honest.
    thresholds : tuple of float
        For each class the confidence below which a cell stays unclassified.
    views : int
        Mirrored and turned views whose mean counts.
    options : dict
        Further arguments of `build_classifier`.
    task : str
        "classify".
    provenance : dict
        Settings, data hashes, scores and versions of the training.
    """

    architecture: str
    head: str
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    size: tuple[int, int]
    bounds: tuple[tuple[float, float], ...]
    measured: str = "none"
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    views: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    task: str = "classify"
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise CellsegError(f"classes {list(self.classes)}", "at least two, all different")
        if UNCLASSIFIED in self.classes:
            raise CellsegError(
                f"a class called {UNCLASSIFIED!r}", "another name", "leave such cells without label"
            )
        if len(self.bounds) != len(self.channels):
            raise CellsegError(f"{len(self.bounds)} bounds for {len(self.channels)} channels", "as many")

    @property
    def limits(self) -> tuple[float, ...]:
        """The threshold of each class; 0 where none was chosen."""
        return self.thresholds or (0.0,) * len(self.classes)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self) | {"schema": SCHEMA}))
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ClassifierSpec:
        """Build a spec from what `to_json` returned.

        Raises
        ------
        CellsegError
            If it was written by a later version or a key is missing or unknown.

        Examples
        --------
        >>> spec = ClassifierSpec("resnet50", "I", ("a", "b"), ("Ch4",), (64, 32), ((0.0, 1.0),))
        >>> ClassifierSpec.from_json(spec.to_json()) == spec
        True
        """
        values = dict(values)
        schema = values.pop("schema", None)
        if schema != SCHEMA:
            raise CellsegError(f"model spec of schema {schema}", f"schema {SCHEMA}", "update napari-cellseg")
        try:
            height, width = values["size"]
            return cls(
                **values
                | {key: tuple(values[key]) for key in ("classes", "channels", "thresholds")}
                | {
                    "size": (int(height), int(width)),
                    "bounds": tuple((float(low), float(high)) for low, high in values["bounds"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CellsegError(
                f"model spec cannot be understood ({error})", "one that napari-cellseg wrote"
            ) from None


@dataclass(frozen=True)
class Classifier:
    """A spec and its network.

    Attributes
    ----------
    spec : ClassifierSpec
    net : CellNet
        Maps pictures ``(n, channel, y, x)`` and, if it was trained with them, measurements
        ``(n, m)`` to logits ``(n, class)``.
    sha256 : str
        Hash of the file it was loaded from; empty for one that was never saved.
    path : Path or None
    """

    spec: ClassifierSpec
    net: CellNet
    sha256: str = ""
    path: Path | None = None

    @property
    def id(self) -> str:
        """What a table calls the model: its name and the beginning of its hash."""
        return id_of(self.path, self.sha256)


def id_of(path: Path | None, sha256: str) -> str:
    """Return what a table calls a model.

    Examples
    --------
    >>> id_of(Path("runs/cells.safetensors"), "0123456789ab"), id_of(None, "")
    ('cells-01234567', 'unsaved')
    """
    return f"{path.stem if path else 'unsaved'}-{sha256[:8]}".rstrip("-")
