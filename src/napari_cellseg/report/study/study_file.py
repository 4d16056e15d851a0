"""The study file, STUDY.yaml: what it may hold, and where in it a mistake stands."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from napari_cellseg.formats.masks import Polarity
from napari_cellseg.report.study.marks import Marks, read_yaml
from napari_cellseg.settings import SegmentSettings, Settings

HOLDOUT = 0.2


def _listed(value: Any) -> Any:
    """Return one text as a list of one: ``images: a/*.tif`` is what people write."""
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Grouping(Settings):
    """Which images belong together and are never torn apart by the split."""

    pattern: str = Field(
        "", description="Regular expression in the file's name; its first group, or all of it, is the group."
    )
    table: str = Field("", description="CSV file with a line for each image.")
    column: str = Field("", description="Its column that names the group.")
    image: str = Field("image", description="Its column that names the image.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.pattern) == bool(self.table):
            raise ValueError("give either a pattern or a table")
        if bool(self.table) != bool(self.column):
            raise ValueError("a table needs a column, and a column a table")
        return self


class SplitEntry(Settings):
    """Which images the systems learn from, and on which they are tested."""

    holdout: float | None = Field(
        None, gt=0, lt=1, description=f"Share of the images tested on; {HOLDOUT} if nothing else is said."
    )
    folds: int | None = Field(None, ge=2, description="Every image is tested on once, in this many rounds.")
    seed: int = Field(42, ge=0, description="Seed of the draw.")
    group: Grouping | None = Field(None, description="Images that stay together.")
    train: Names = Field((), description="Images to learn from, instead of a draw.")
    test: Names = Field((), description="Images to test on, instead of a draw.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        lists = bool(self.train or self.test)
        if sum((self.holdout is not None, self.folds is not None, lists)) > 1:
            raise ValueError("give one of holdout, folds, or train and test")
        if bool(self.train) != bool(self.test):
            raise ValueError(f"nothing to {'test on' if self.train else 'train on'}: give train and test")
        if lists and self.group is not None:
            raise ValueError("a group has no say where train and test are listed")
        return self


class SystemEntry(Settings):
    """One system: a preset, and what it should do differently."""

    name: str = Field("", pattern=r"^([\w+-][\w.+-]*)?$", description="Name of its folder; the preset's.")
    preset: str = Field("default", description="See `napari-cellseg list presets`.")
    settings: dict[str, Any] = Field({}, description="Settings that take the place of the preset's.")


def _system(value: Any) -> Any:
    return {"preset": value} if isinstance(value, str) else value


class StudyFile(Settings):
    """What stands in STUDY.yaml; paths are relative to it."""

    task: Literal["segment"] = Field("segment", description="What the systems do.")
    title: str = Field("", description="What is studied, for the head of the page.")
    images: Names = Field((), description="Images: files, folders or globs.")
    masks: Names = Field(min_length=1, description="Their masks, paired by the beginning of the name.")
    polarity: Polarity | None = Field(
        None,
        description="Which side of a two-valued mask is the class: dark, bright; labels for numbers of "
        "classes, instances for those of single cells.",
    )
    classes: Names = Field((), description="Names of the classes, the background left out.")
    left_out: Names = Field((), description="Classes that are neither learned nor scored.")
    thin: Names | None = Field(
        None, description="Classes measured as thin structures as well; all if nothing is said, [] for none."
    )
    tolerance_px: float | None = Field(None, gt=0, description="How far a centreline may be off, in pixels.")
    tolerance_nm: float | None = Field(None, gt=0, description="The same in nm.")
    split: SplitEntry = Field(default_factory=SplitEntry, description="Which images are tested on.")
    systems: tuple[Annotated[SystemEntry, BeforeValidator(_system)], ...] = Field(
        min_length=1, description="Presets by name, or mappings of name, preset and settings."
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (42,), min_length=1, description="Each system is trained once with each."
    )
    minutes: float | None = Field(None, gt=0, description="Time budget of each training.")
    settings: dict[str, Any] = Field({}, description="Training settings of all systems; a system's own win.")
    redundancy: bool = Field(
        False,
        description="Add to the page how much of an image the layers of each network keep.",
    )
    segmenting: SegmentSettings = Field(
        default_factory=SegmentSettings, description="How the trained networks are run."
    )

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        listed = bool(self.split.train)
        if listed and self.images:
            raise ValueError("images are given twice: leave out `images`, or `train` and `test`")
        if not listed and not self.images:
            raise ValueError("no images: give `images`, or `train` and `test` in `split`")
        if self.tolerance_px is not None and self.tolerance_nm is not None:
            raise ValueError("give tolerance_px or tolerance_nm")
        names = [system.name or system.preset for system in self.systems]
        for what, values in (("system", names), ("seed", self.seeds)):
            twice = sorted({str(value) for value in values if list(values).count(value) > 1})
            if twice:
                raise ValueError(
                    f"{what} {twice[0]} occurs twice" + (": give each a name" if what == "system" else "")
                )
        return self


KNOWN_KEYS = {key for kind in (StudyFile, SplitEntry, Grouping, SystemEntry) for key in kind.model_fields}


def read_study_file(path: Path) -> tuple[StudyFile, Marks]:
    """Return what stands in a study file, and where.

    Parameters
    ----------
    path : Path
        STUDY.yaml.

    Raises
    ------
    CellsegError
        If it cannot be read, is no YAML, or holds something unknown, missing or contradictory;
        with line and column.
    """
    values, marks = read_yaml(path)
    try:
        return StudyFile.model_validate(values), marks
    except ValidationError as error:
        errors = error.errors()  # a misspelt key is missing as well: its name says more
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        place = tuple(first["loc"])
        name = ".".join(str(step) for step in place)
        if first["type"] == "extra_forbidden":
            raise marks.error(place, f"unknown key {name!r}", near(str(place[-1]), KNOWN_KEYS)) from None
        if first["type"] == "missing":
            raise marks.error(place, f"no {name!r}", "the key in the study file") from None
        said = first["msg"].removeprefix("Value error, ")
        found = f"{name} = {first['input']!r}: {said}" if place and first["type"] != "value_error" else said
        raise marks.error(place, found) from None


def near(name: str, known: Iterable[str]) -> str:
    """Return the known names that look like this one, or all of them where they are few.

    Examples
    --------
    >>> near("membrain", ["filament", "membrane", "default"])
    "'membrane'"
    >>> near("x", ["one", "two"])
    'one of one, two'
    """
    names = sorted(known)
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return " or ".join(repr(one) for one in alike) or f"one of {', '.join(names)}"
