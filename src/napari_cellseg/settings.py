"""Settings, each declared once: it becomes a flag, a form row and a key in a file.

A field's default, bounds, choices and description stand here and nowhere else. The
command line turns a class into flags (cyclopts), a dock into rows (`gui.form`), a run
folder into JSON (pydantic). Importing this module costs no torch.
"""

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
                "see `napari-cellseg train --help`" if cls is TrainSettings else "",
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
