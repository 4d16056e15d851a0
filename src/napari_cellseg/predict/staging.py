"""Files of a store on this machine while they are worked on: fetched before, sent and cleared after."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from napari_cellseg.images.remote import Place, Url, fetch, is_there, send
from napari_cellseg.images.whole_files import write_errors
from napari_cellseg.predict.summary import COLUMNS, Summary

SUMMARY = "summary.csv"
SENDING_SHARE = 0.05  # of the time that may go into sending the summary


@dataclass(frozen=True)
class Stage:
    """A folder for what is fetched and for what will be sent.

    Attributes
    ----------
    folder : Path
    names : dict
        What the user calls the files in it.
    coming : dict
        What is being fetched.
    """

    folder: Path
    names: dict[str, Url] = field(default_factory=dict)
    coming: dict[Place, Future[Path]] = field(default_factory=dict)

    def fetch(self, place: Place) -> Path:
        """Return where a file lies on this machine, fetched if it has to be.

        Raises
        ------
        CellsegError
            If it cannot be fetched.
        """
        if isinstance(place, Path):
            return place
        if place in self.coming:
            near = self.coming[place].result()
        else:
            near = fetch(place, Path(tempfile.mkdtemp(dir=self.folder)))
        self.names[str(near)] = place
        return near

    def near(self, place: Place) -> Path:
        """Return where to write on this machine what belongs to a place."""
        if isinstance(place, Path):
            return place
        near = self.folder / "out" / place.name
        near.parent.mkdir(exist_ok=True)
        self.names[str(near)] = place
        return near

    def send(self, near: Path, place: Place) -> None:
        """Send what was written on this machine, if it belongs into a store.

        Raises
        ------
        CellsegError
            If it cannot be sent.
        """
        if isinstance(place, Url):
            send(near, place)

    def told(self, message: str) -> str:
        """Return a message with the names that the user knows."""
        for near, place in self.names.items():
            message = message.replace(near, place)
        return message


@contextmanager
def staged() -> Iterator[Stage]:
    """Give a stage that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="cellseg-planes-") as folder:
        yield Stage(Path(folder))


def staged_ahead(places: Sequence[Place]) -> Generator[tuple[Place, Stage], None, None]:
    """Yield files, each with its stage; while one is worked on the next is fetched.

    A stage is removed when the next one is asked for.
    """
    with staged() as outer, ThreadPoolExecutor(1) as pool:

        def begun(place: Place) -> Stage:
            stage = Stage(Path(tempfile.mkdtemp(dir=outer.folder)))
            if isinstance(place, Url):
                stage.coming[place] = pool.submit(fetch, place, stage.folder)
            return stage

        ahead = begun(places[0])
        for place, following in zip(places, (*places[1:], None), strict=True):
            stage = ahead
            if following is not None:
                ahead = begun(following)
            yield place, stage
            shutil.rmtree(stage.folder)


class SentSummary(Summary):
    """A summary in a store: the table on this machine, sent after each row, or less often if that is slow."""

    def __init__(self, path: Path, url: Url, columns: Sequence[str]) -> None:
        super().__init__(path, columns)
        self.url, self.unsent, self.due = url, True, 0.0

    def add(self, row: Mapping[str, str]) -> None:
        """Put in a file's row, in the store as well."""
        super().add(row)
        self.unsent = True
        if time.monotonic() >= self.due:
            self.send()

    def send(self) -> None:
        """Send the table if something of it was not."""
        if not self.unsent:
            return
        start = time.monotonic()
        send(self.path, self.url)
        end = time.monotonic()
        self.unsent, self.due = False, end + (end - start) / SENDING_SHARE


@contextmanager
def summary_in(out: Place, columns: Sequence[str] = COLUMNS) -> Iterator[Summary]:
    """Give the summary of a folder, which is made if it is not there; complete at the end.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    if isinstance(out, Path):
        with write_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        summary = Summary(out / SUMMARY, columns)
        summary.write()
        yield summary
        return
    url = out / SUMMARY
    with staged() as stage:
        sent = SentSummary(stage.fetch(url) if is_there(url) else stage.near(url), url, columns)
        sent.write()
        try:
            sent.send()
            yield sent
        finally:
            sent.send()
