"""Two directives that write the tables the code already knows.

``{registry} losses`` lists what a setting may be, ``{settings} module:Class`` a class of settings.
"""

from importlib import import_module

from docutils import nodes
from docutils.statemachine import StringList
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from napari_cellseg.cli.inspect import REGISTRIES


class MarkdownTable(SphinxDirective):
    required_arguments = 1

    def rows(self) -> list[tuple[str, ...]]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        head, *rows = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in self.rows())
        lines = [head, " | ".join("---" for _ in self.rows()[0]), *rows]
        text = StringList([f"| {line} |" for line in lines], source=self.arguments[0])
        holder = nodes.Element()
        self.state.nested_parse(text, self.content_offset, holder)
        return holder.children


class Registry(MarkdownTable):
    def rows(self) -> list[tuple[str, ...]]:
        module, name = REGISTRIES[self.arguments[0]]
        entries = getattr(import_module(module), name).items()
        described = (
            (f"`{key}`", entry if isinstance(entry, str) else entry.description, *more(entry))
            for key, entry in entries
        )
        head = ("name", "what it is", *more(next(iter(entries))[1], head=True))
        return [head, *described]


class Settings(MarkdownTable):
    def rows(self) -> list[tuple[str, ...]]:
        module, name = self.arguments[0].split(":")
        fields = getattr(import_module(module), name).model_fields.items()
        return [
            ("setting", "default", "what it does"),
            *((f"`{key}`", default(field), field.description or "") for key, field in fields),
        ]


def more(entry: object, *, head: bool = False) -> tuple[str, ...]:
    """Cells for what formats of coordinates have beside a description, or what stands above them."""
    if not hasattr(entry, "next_step"):
        return ()
    return ("file", "and then") if head else (f"`MIC{entry.ending}`", entry.next_step)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    return "its own" if field.default_factory else f"`{field.default!r}`"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("registry", Registry)
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}
