"""One self-contained HTML page: pictures inside, no script, readable on a phone."""

import base64
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from napari_cellseg.images.whole_files import write_whole


@dataclass(frozen=True)
class Picture:
    """An encoded picture with what it shows.

    Parameters
    ----------
    title : str
        A word or two, shown in bold.
    caption : str
        What is to be seen in it.
    data : bytes
        A PNG or JPEG file.
    """

    title: str
    caption: str
    data: bytes

    @property
    def address(self) -> str:
        """The picture as a ``data:`` address.

        Examples
        --------
        >>> Picture("a", "b", bytes([0x89]) + b"PNG").address
        'data:image/png;base64,iVBORw=='
        """
        kind = "png" if self.data.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Table:
    """Rows under a header; with `numbers`, all but the first column are set flush right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: bool = True


@dataclass(frozen=True)
class Section:
    """A titled part of a page: paragraphs, pictures, tables, then commands to copy.

    With `wide`, each picture takes the width of the page.
    """

    title: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Page:
    """What `render_page` draws.

    Parameters
    ----------
    title : str
    lead : str
        The result in one or two sentences.
    figures : tuple of (value, meaning)
        The few numbers that matter, drawn large.
    sections : tuple of Section
    footer : str
        Versions, machine, date.
    """

    title: str
    lead: str
    figures: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()
    footer: str = ""


def render_page(page: Page) -> str:
    """Return the page as HTML that needs no other file.

    Examples
    --------
    >>> html = render_page(Page("Scores", "F1 < 1 & more"))
    >>> "F1 &lt; 1 &amp; more" in html
    True
    """
    import jinja2

    source = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(page=page)


def write_page(path: Path, page: Page) -> None:
    """Write the page as `path`, whole or not at all.

    Raises
    ------
    CellsegError
        If the place cannot be written.
    """
    write_whole(path, render_page(page))
