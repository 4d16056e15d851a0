"""The project folder NAME.cellseg: classes, images, what was painted, runs, models, results."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Annotation, Classes, check_trainable
from napari_cellseg.images.label_planes import plane_exists, read_plane, write_plane
from napari_cellseg.images.project_file import (
    ImageRecord,
    ProjectRecord,
    read_record,
    restore_backup,
    write_record,
)
from napari_cellseg.images.project_image import ProjectImage, find_image, relative_to
from napari_cellseg.images.quick_hash import quick_hash
from napari_cellseg.images.whole_files import recover_whole, replace_whole, write_errors, write_whole
from napari_cellseg.settings import Settings

SUFFIX = ".cellseg"
_FOLDERS = ("annotations", "runs", "models", "results")


class Project:
    """An open project folder.

    Every method reads and writes the folder at once, each file whole or not at all: several
    programs may have the same project open, and a kill loses nothing that was saved.

    Parameters
    ----------
    path : Path
        The NAME.cellseg folder. Use `create` or `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record = read_record(path)
        self.classes = Classes.from_json(self._record.classes)

    @classmethod
    def create(cls, path: Path | str, classes: Classes) -> Self:
        """Make a new, empty project folder; the suffix .cellseg is added where it is missing.

        Raises
        ------
        CellsegError
            If there is something at `path` already, or it cannot be written.
        """
        path = _named(path)
        if path.exists():
            raise CellsegError(f"{path}: exists already", "a new name", "open it, or choose another name")
        with replace_whole(path) as part:
            for folder in _FOLDERS:
                (part / folder).mkdir(parents=True)
            write_record(part, ProjectRecord(classes=classes.to_json()))
        return cls(path)

    @classmethod
    def open(cls, path: Path | str, *, use_backup: bool = False) -> Self:
        """Open a project folder and finish what a killed program left half-done.

        Parameters
        ----------
        path : Path or str
            The NAME.cellseg folder.
        use_backup : bool
            Where project.json is damaged, go on with its backup; the damaged file is kept.

        Raises
        ------
        CellsegError
            If it is not a project, is damaged, or was made by a later version.
        """
        path = Path(path)
        if not path.exists():
            path = _named(path)
        for folder in (path, *(path / name for name in _FOLDERS)):
            recover_whole(folder)
        if use_backup and path.is_dir():
            restore_backup(path)
        project = cls(path)
        with write_errors(path / _FOLDERS[0]):
            for name in _FOLDERS:
                (path / name).mkdir(exist_ok=True)
        return project

    @property
    def images(self) -> tuple[ProjectImage, ...]:
        """All images, in the order they were added; see `ProjectImage.missing`."""
        return tuple(find_image(record, self.path) for record in self._record.images)

    def image(self, name: str) -> ProjectImage:
        """Return the image of that name.

        Raises
        ------
        CellsegError
            If the project has none.
        """
        for record in self._record.images:
            if record.name == name:
                return find_image(record, self.path)
        raise CellsegError(f"no image '{name}' in {self.path.name}", "one of the project's images")

    def add_image(self, path: Path | str, *, pixel_nm: float | None = None) -> ProjectImage:
        """Add an image file and return its entry; a file that is in already is not added twice.

        Parameters
        ----------
        path : Path or str
            Any image `read_image` takes; it stays where it is.
        pixel_nm : float, optional
            Pixel size in nm, instead of what the file says.

        Raises
        ------
        CellsegError
            If it cannot be read.
        """
        from napari_cellseg.images.micrographs import read_image

        path = Path(os.path.abspath(path))
        known = [image for image in self.images if image.path == path]
        image = read_image(path, pixel_nm=pixel_nm)
        content = quick_hash(path)
        name = known[0].name if known else self._free_name(image.name, content)
        record = ImageRecord(
            name=name,
            path=relative_to(self.path, path),
            absolute=str(path),
            quick_hash=content,
            shape=image.shape,
            pixel_nm=image.pixel_nm,
        )
        if known and known[0].shape != image.shape:
            raise CellsegError(
                f"{path} is now {image.shape[0]} x {image.shape[1]}",
                f"{known[0].shape[0]} x {known[0].shape[1]} as when it was added",
            )
        self._change(lambda images: (*(r for r in images if r.name != name), record))
        return self.image(name)

    def relocate_image(self, name: str, path: Path | str) -> ProjectImage:
        """Say where a missing image is now.

        Raises
        ------
        CellsegError
            If the file cannot be read or has another size.
        """
        from napari_cellseg.images.micrographs import read_image

        former, path = self.image(name), Path(os.path.abspath(path))
        shape = read_image(path).shape
        if shape != former.shape:
            raise CellsegError(f"{path} is {shape[0]} x {shape[1]}", f"{former.shape[0]} x {former.shape[1]}")
        new = {"path": relative_to(self.path, path), "absolute": str(path), "quick_hash": quick_hash(path)}
        self._change(lambda images: tuple(r.model_copy(update=new) if r.name == name else r for r in images))
        return self.image(name)

    def remove_image(self, name: str) -> None:
        """Take an image off the list; its labels stay on the disk and come back when it is added again."""
        self.image(name)
        self._change(lambda images: tuple(r for r in images if r.name != name))

    def set_classes(self, classes: Classes) -> None:
        """Rename, recolour or add classes; what is painted keeps its index.

        Raises
        ------
        CellsegError
            If a class goes away that is painted somewhere.
        """
        for name in self.labelled() if len(classes) < len(self.classes) else ():
            highest = int(read_plane(self._plane(name))[0].max(initial=0))
            if highest >= len(classes):
                raise CellsegError(
                    f"class '{self.classes.names[highest]}' is painted in '{name}'",
                    remedy="erase it there before removing the class",
                )
        self._write(read_record(self.path).model_copy(update={"classes": classes.to_json()}))

    def labels(self, name: str) -> NDArray[np.uint16]:
        """Return the painted plane (y, x) of an image; zeros where nothing was saved.

        Raises
        ------
        CellsegError
            If there is no such image or its plane is damaged.
        """
        shape = self.image(name).shape
        if name not in self.labelled():
            return np.zeros(shape, np.uint16)
        return read_plane(self._plane(name))[0].astype(np.uint16)

    def save_labels(self, name: str, labels: Any, *, dense: bool = False) -> None:
        """Save the painted plane (y, x) of an image: after a kill there is the former one or this one.

        Indices without a class are saved too: nothing painted is refused.

        Raises
        ------
        CellsegError
            If it has another size than the image, or the disk does not take it.
        """
        image = self.image(name)
        if tuple(labels.shape) != image.shape:
            raise CellsegError(f"labels of shape {tuple(labels.shape)}", f"{image.shape} like '{name}'")
        attributes = {"image": name, "quick_hash": image.quick_hash, "classes": self.classes.to_json()}
        write_plane(self._plane(name), labels, {**attributes, "dense": dense})

    def labelled(self) -> tuple[str, ...]:
        """Return the names of the images that have a saved plane."""
        return tuple(r.name for r in self._record.images if plane_exists(self._plane(r.name)))

    def annotation(self, name: str) -> Annotation:
        """Return an image with its painted plane.

        Raises
        ------
        CellsegError
            If the image file is missing, or an index has no class.
        """
        from napari_cellseg.images.micrographs import read_image

        found = self.image(name)
        if found.missing:
            raise CellsegError(
                f"the image '{name}' is missing: {found.path}",
                remedy="put it back, relocate it or take it off the project; its labels are kept",
            )
        image = replace(read_image(found.path, pixel_nm=found.pixel_nm), name=name)
        if name not in self.labelled():
            return Annotation(image, np.zeros(found.shape, np.uint16), self.classes)
        labels, attributes = read_plane(self._plane(name))
        return Annotation(image, labels, self.classes, dense=bool(attributes.get("dense")))

    def annotations(self) -> list[Annotation]:
        """Return the annotations with at least one pixel annotated, in the order of the images."""
        found = [self.annotation(name) for name in self.labelled()]
        return [annotation for annotation in found if any(list(annotation.counts().values())[1:])]

    def new_run(self, settings: Settings, *, kind: str = "segment") -> Path:
        """Return a new run folder with the settings and a snapshot of all that is annotated now.

        Painting may go on: the run trains on the copies in it. `settings.json` holds the
        settings, `data.json` the classes and images with the paths of their labels.

        Parameters
        ----------
        settings : Settings
            `TrainSettings` for ``kind="segment"``.
        kind : str
            The job.

        Raises
        ------
        CellsegError
            If there is too little to train on.
        """
        annotations = self.annotations()
        check_trainable(annotations)
        run = _free_path(self.path / "runs" / f"{datetime.now():%Y%m%d-%H%M%S}")
        with replace_whole(run) as part:
            data = {
                "kind": kind,
                "classes": self.classes.to_json(),
                "images": [self._snapshot(annotation, part) for annotation in annotations],
            }
            write_whole(part / "data.json", json.dumps(data, indent=2) + "\n")
            write_whole(part / "settings.json", settings.model_dump_json(indent=2) + "\n")
        return run

    def runs(self) -> tuple[Path, ...]:
        """Return the run folders, oldest first."""
        return tuple(sorted(p for p in (self.path / "runs").glob("[!.]*") if p.is_dir()))

    def models(self) -> tuple[Path, ...]:
        """Return the model files, newest first: those in `models/` and the best one of each run."""
        files = [*self.path.glob("models/[!.]*.safetensors"), *self.path.glob("runs/[!.]*/best.safetensors")]
        return tuple(sorted(files, key=lambda file: (-file.stat().st_mtime_ns, file)))

    @property
    def results(self) -> Path:
        """The folder for what the models made of images."""
        return self.path / "results"

    def _snapshot(self, annotation: Annotation, run: Path) -> dict[str, Any]:
        image = annotation.image
        labels = f"labels/{image.name}.zarr"
        write_plane(run / labels, annotation.labels, {"image": image.name, "dense": annotation.dense})
        return {
            "name": image.name,
            "path": str(self.image(image.name).path),
            "pixel_nm": image.pixel_nm,
            "labels": labels,
            "polarity": None,
            "dense": annotation.dense,
            "quick_hash": self.image(image.name).quick_hash,
        }

    def _change(self, new: Callable[[tuple[ImageRecord, ...]], tuple[ImageRecord, ...]]) -> None:
        """Rewrite the list of images, on top of what another program may have written meanwhile."""
        record = read_record(self.path)
        self._write(record.model_copy(update={"images": new(record.images)}))

    def _write(self, record: ProjectRecord) -> None:
        write_record(self.path, record)
        self._record, self.classes = record, Classes.from_json(record.classes)

    def _plane(self, name: str) -> Path:
        return self.path / "annotations" / f"{name}.zarr"

    def _free_name(self, stem: str, content: str) -> str:
        """Return `stem`, or `stem-2`...: not in use, and without labels of another image on the disk."""
        taken = {record.name.casefold() for record in self._record.images}
        number, name = 1, stem
        while name.casefold() in taken or not self._plane_is_free(name, content):
            number += 1
            name = f"{stem}-{number}"
        return name

    def _plane_is_free(self, name: str, content: str) -> bool:
        plane = self._plane(name)
        return not plane.exists() or read_plane(plane)[1].get("quick_hash") == content


def _named(path: Path | str) -> Path:
    path = Path(path)
    return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)


def _free_path(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
