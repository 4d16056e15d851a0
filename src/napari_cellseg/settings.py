"""Settings, each declared once: it becomes a flag, a form row and a key in a file.

A field's default, bounds, choices and description stand here and nowhere else. The
command line turns a class into flags (cyclopts), a dock into rows (`gui.form`), a run
folder into JSON (pydantic). Importing this module costs no torch.
"""

from copy import copy
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from napari_cellseg.errors import CellsegError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


class Settings(BaseModel):
    """A frozen set of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Self:
        """Build the settings from outside values (a file, a form).

        Raises
        ------
        CellsegError
            If a key is unknown or a value out of bounds; the first one is named.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            raise CellsegError(
                f"setting {name} = {first.get('input')!r}: {first['msg']}",
                "see `napari-cellseg train --help`" if cls in (TrainSettings, ClassifierSettings) else "",
            ) from None


class TrainSettings(Settings):
    """How a segmenter is trained."""

    preset: str = Field(
        "default", description="Named set of the settings below; whatever else is given wins."
    )
    architecture: str = Field("unet", description="Network; see `napari-cellseg list architectures`.")
    encoder: str = Field(
        "resnet18",
        description="Encoder, where the network has one; see `napari-cellseg list encoders`. Any of segmentation-models-pytorch works, and tu-NAME for timm's.",
    )
    depth: int | None = Field(
        None, ge=2, le=6, description="Levels of the network; fewer are faster and see less context."
    )
    width: int | None = Field(
        None, ge=4, le=128, description="Channels of the finest level; doubled at each coarser."
    )
    deep_supervision: bool = Field(
        False, description="Nested U-Net: train every decoding, not only the last."
    )
    pretrained: bool = Field(
        True, description="Start the encoder from ImageNet weights where they can be had."
    )
    weights_file: str = Field(
        "", description="Local file of encoder weights (.safetensors) used instead of a download."
    )
    pixel_nm: float | None = Field(
        None,
        gt=0,
        description="Working pixel size in nm: images are resampled to it; empty = that of the images.",
    )
    shrink: float = Field(
        1.0,
        ge=0.25,
        le=32,
        description="Image pixels along a working pixel, where no pixel size is given: 2 works at half the resolution, with more context and four times less to compute.",
    )
    prepare: Literal["tiles", "resize"] = Field(
        "tiles",
        description="Learn from windows of the image, or from the whole image shrunk to one window; the latter loses detail.",
    )
    point_radius_nm: float = Field(
        3.0,
        gt=0,
        le=1000,
        description="Points as masks: radius in nm of the disc around each that counts as the class; in pixels where images have no pixel size.",
    )
    left_out: str = Field(
        "",
        description="Names of classes, separated by commas, that count as not annotated in training and score.",
    )
    epochs: int = Field(20, ge=1, le=10_000, description="Epochs; each ends with a validation.")
    steps: int | None = Field(
        20,
        ge=1,
        le=10_000,
        description="Optimiser steps in an epoch; empty = as many as see everything once.",
    )
    batch: int = Field(8, ge=1, le=512, description="Windows in a step.")
    at_a_time: int | None = Field(
        None,
        ge=1,
        description="Windows that go through the network together; their gradients add up to a step. Empty = all, or as many as memory takes.",
    )
    window_px: int = Field(256, ge=32, le=4096, description="Side of a training window in working pixels.")
    minutes: float | None = Field(
        None, gt=0, description="Stop early so that training ends within this time; empty = no limit."
    )
    optimiser: Literal["adamw", "adam"] = Field("adamw", description="What changes the weights.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Highest learning rate of the schedule.")
    find_rate: bool = Field(
        False, description="Look for the learning rate with a range test first; the rate above is not used."
    )
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        "one-cycle", description="Course of the learning rate."
    )
    weight_decay: float = Field(1e-2, ge=0, le=1, description="Weight decay.")
    loss: str = Field("dice+ce", description="Loss; see `napari-cellseg list losses`.")
    class_weighting: Literal["none", "balanced"] = Field(
        "none", description="Weight the cross-entropy by the inverse share of each class."
    )
    patience: int = Field(
        0, ge=0, description="Stop after this many epochs without a better score; 0 = never."
    )
    validation: float = Field(0.2, gt=0, lt=1, description="Share held out for validation.")
    split: Literal["auto", "image", "window"] = Field(
        "auto",
        description="Hold out whole images, or windows by hash; auto = images where there are 4 or more.",
    )
    seed: int = Field(42, ge=0, description="Seed of the split, the first weights and the windows drawn.")
    flips: bool = Field(True, description="Augment with flips and quarter turns.")
    rotation_degrees: float = Field(
        15.0, ge=0, le=180, description="Augment with a free rotation up to this angle."
    )
    scale: float = Field(0.1, ge=0, lt=1, description="Augment with a scale of 1 +- this.")
    shear_degrees: float = Field(0.0, ge=0, le=45, description="Augment with a shear up to this angle.")
    shift: float = Field(
        0.0, ge=0, lt=1, description="Augment with a shift of up to this share of the window."
    )
    elastic_px: float = Field(
        0.0, ge=0, le=32, description="Augment with a smooth warp that moves pixels by up to this many."
    )
    settle: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="Share of the training, at its end, without flips, turns, scale, shear, shift and warp: the network settles on what is alike in all images, such as an annotation that lies a little off.",
    )
    intensity: float = Field(
        0.2, ge=0, le=1, description="Augment contrast and brightness by up to this share."
    )
    noise: float = Field(
        0.1, ge=0, le=1, description="Augment with Gaussian noise of up to this many standard deviations."
    )
    device: Device = Field("auto", description="Where to train.")
    precision: Precision = Field(
        "auto", description="Number format; auto = bfloat16 where the device is fast in it."
    )


class SegmentSettings(Settings):
    """How a trained model is run over an image."""

    device: Device = Field("auto", description="Where to run the network.")
    backend: str = Field("auto", description="What runs the network; see `napari-cellseg list backends`.")
    precision: Precision = Field(
        "auto", description="Number format; auto = bfloat16 where the device is fast in it."
    )
    block_px: int | None = Field(
        None, ge=32, description="Side of a block in working pixels; empty = as large as free memory allows."
    )
    halo_px: int | None = Field(
        None, ge=0, description="Margin read around a block; empty = as measured for the model."
    )
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Two-class models: probability from which a pixel is the class; empty = 0.5.",
    )
    validated_threshold: bool = Field(
        False,
        description="Two-class models: use the probability that did best on what was held out in training.",
    )
    views: Annotated[Literal[1, 4, 8], BeforeValidator(int)] = Field(
        1,
        description="Mean of so many views of the image: 4 = mirrored along either side and both, 8 = also turned by a quarter; takes as many times as long.",
    )
    uncertainty: Literal["none", "entropy", "spread"] = Field(
        "none",
        description="Map of doubt: entropy of the probabilities, or their spread between several views or models; 0 = sure, 1 = not at all.",
    )


class InstanceSettings(Settings):
    """How single cells are made of what a model says that finds them."""

    cell_threshold: float = Field(
        0.5, gt=0, lt=1, description="Single cells: probability from which a pixel belongs to a cell."
    )
    cell_seed: float = Field(
        0.55,
        gt=0,
        lt=1,
        description="Single cells: depth (0 = a cell's border, 1 = its middle) above which a seed lies; higher parts more cells, lower fewer.",
    )
    cell_smoothing_px: float = Field(
        1.0, ge=0, le=50, description="Single cells: width of the smoothing before seeds are looked for."
    )
    cell_area_px: int = Field(
        15, ge=0, le=10**9, description="Single cells: area in pixels; smaller ones are left out."
    )
    cell_area_nm2: float | None = Field(
        None, gt=0, description="The same in square nanometres; empty = in pixels."
    )
    cell_holes: bool = Field(True, description="Single cells: fill holes in cells.")


def _as_in(kind: type[Settings], name: str, default: Any, description: str = "") -> Any:
    """Return the setting of another class, with its bounds, for one that has it as well."""
    field = copy(kind.model_fields[name])
    field.default, field.description = default, description or field.description
    return field


class CellSettings(Settings):
    """What can be set of a classifier only; the rest it shares with segmenters."""

    head: str = Field("linear", description="What decides on the class; see `napari-cellseg list heads`.")
    frozen: bool = Field(
        False,
        description="Train the head alone: every cell goes through the network once, however often it is trained.",
    )
    channels: str = Field("", description="Names of the channels to use, separated by commas; empty = all.")
    rgb: bool = Field(
        False, description="Show the network colours: one channel three times, or three channels as they are."
    )
    height_px: int = Field(32, ge=8, le=512, description="Height to which a cell is scaled.")
    width_px: int = Field(32, ge=8, le=512, description="Width to which a cell is scaled.")
    measured: Literal["none", "size", "all"] = Field(
        "none",
        description="What the head is told beside the picture: the size of the crop, or all that is measured on the cell (shape, intensities, texture).",
    )
    members: int = Field(1, ge=1, le=16, description="Networks trained side by side, whose mean counts.")
    views: Annotated[Literal[1, 4, 8], BeforeValidator(int)] = Field(
        1, description="Mirrored and turned views of a cell whose mean counts."
    )
    balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How much more a rare class counts: the power of its inverse share; 0 = not, 1 = all classes count the same.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of each label given to all classes alike."
    )
    best_by: Literal["f1", "loss"] = Field(
        "f1", description="Which epoch is the best: highest macro F1, or lowest loss, on what was held out."
    )
    calibration: float = Field(
        0.1, ge=0, lt=1, description="Share held out to make confidences honest; 0 = as the network says."
    )
    test: float = Field(
        0.15, ge=0, lt=1, description="Share that is looked at once, when all is decided; 0 = none."
    )
    by_sample: bool = Field(
        True, description="Keep the cells of a sample on one side, where there are enough samples."
    )
    wanted_precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Leave cells unclassified whose confidence is below that from which this share was right; empty = label every cell.",
    )
    baseline: bool = Field(
        True, description="Also train boosted trees on measured features, to be reported beside the network."
    )

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels asked for; none = all."""
        return tuple(name.strip() for name in self.channels.split(",") if name.strip())


class ClassifierSettings(CellSettings):
    """How a classifier of single cells is trained."""

    preset: str = _as_in(TrainSettings, "preset", "cells-best")
    architecture: str = _as_in(
        TrainSettings,
        "architecture",
        "cells-small",
        "Network that looks at a cell; see `napari-cellseg list backbones`. Any model of timm works by name.",
    )
    pretrained: bool = _as_in(
        TrainSettings, "pretrained", False, "Start from ImageNet weights where they can be had."
    )
    weights_file: str = _as_in(
        TrainSettings,
        "weights_file",
        "",
        "Local file of the network's weights (.safetensors) used instead of a download.",
    )
    epochs: int = _as_in(TrainSettings, "epochs", 30)
    batch: int = _as_in(TrainSettings, "batch", 64, "Cells in a step.")
    minutes: float | None = _as_in(TrainSettings, "minutes", None)
    optimiser: Literal["adamw", "adam"] = _as_in(TrainSettings, "optimiser", "adamw")
    learning_rate: float = _as_in(TrainSettings, "learning_rate", 4e-3)
    schedule: Literal["one-cycle", "cosine", "constant"] = _as_in(TrainSettings, "schedule", "one-cycle")
    weight_decay: float = _as_in(TrainSettings, "weight_decay", 5e-2)
    patience: int = _as_in(TrainSettings, "patience", 0)
    validation: float = _as_in(TrainSettings, "validation", 0.15, "Share held out to choose the best epoch.")
    seed: int = _as_in(TrainSettings, "seed", 42)
    flips: bool = _as_in(TrainSettings, "flips", True)
    rotation_degrees: float = _as_in(TrainSettings, "rotation_degrees", 180.0)
    scale: float = _as_in(TrainSettings, "scale", 0.15)
    shear_degrees: float = _as_in(TrainSettings, "shear_degrees", 0.0)
    shift: float = _as_in(TrainSettings, "shift", 0.05)
    intensity: float = _as_in(TrainSettings, "intensity", 0.15)
    noise: float = _as_in(TrainSettings, "noise", 0.0)
    device: Device = _as_in(TrainSettings, "device", "auto")
    precision: Precision = _as_in(TrainSettings, "precision", "auto")


class ClassifySettings(Settings):
    """How a trained classifier is run over cells."""

    device: Device = _as_in(SegmentSettings, "device", "auto")
    precision: Precision = _as_in(SegmentSettings, "precision", "auto")
    batch: int = Field(256, ge=1, le=65_536, description="Cells that go through the network together.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Confidence below which a cell is unclassified; empty = as the model says for each class.",
    )


class CompressSettings(Settings):
    """How a model is made smaller and faster."""

    int8: bool = Field(False, description="Put the network into 8 bits, for OpenVINO on CPUs.")
    prune: float | None = Field(
        None, gt=0, le=0.9, description="Take this share of the channels of each layer away, and train on."
    )
    epochs: int = Field(8, ge=1, le=10_000, description="Epochs that a pruned network is trained on for.")
    minutes: float | None = Field(
        None, gt=0, description="Stop training on within this time; empty = no limit."
    )
    max_loss: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Refuse a model whose score falls by more than this on what was held out.",
    )
    keep_anyway: bool = Field(False, description="Keep the model, however far its score falls.")


class ExportSettings(Settings):
    """How coordinates are written for other programs; each format uses what it has a place for."""

    flip_y: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Count rows from the bottom; auto = for TIFF micrographs in files that RELION, EMAN or crYOLO read, as they do.",
    )
    step_px: float | None = Field(
        None,
        ge=0,
        description="Distance of segments along a filament in pixels of the micrograph; 0 = the points of its path as they are, empty = from the rise.",
    )
    rise_angstrom: float = Field(
        27.5, gt=0, description="Helical rise in angstrom; 27.5 is that of actin. Needs the pixel size."
    )
    units: int = Field(1, ge=1, description="Asymmetric units from one segment to the next.")
    box_px: float | None = Field(
        None,
        gt=0,
        description="Side of a box in pixels of the micrograph; empty = that of the file read, or twice the width of the filaments.",
    )
    micrograph_pixel_nm: float | None = Field(
        None,
        gt=0,
        description="Pixel size in nm of the micrograph the file is for, where filaments were traced at another one: coordinates are scaled.",
    )
