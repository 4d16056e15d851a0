"""A form from settings: one row a field, its bounds, choices and help from the field itself."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget
from superqt import QCollapsible

from napari_cellseg.errors import CellsegError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magicgui.widgets.bases import ValueWidget
    from pydantic.fields import FieldInfo

    from napari_cellseg.settings import Settings

UNITS = {"px": "px", "nm": "nm", "nm2": "nm\u00b2", "degrees": "degrees", "seconds": "s"}
WIDEST = 2**31 - 1  # Qt counts in 32 bits


class Form(Container):
    """Rows for the fields of a `Settings` class.

    Parameters
    ----------
    kind : type of Settings
        What the form fills in.
    basic : sequence of str
        Fields shown at once, in this order; the others wait under "Advanced".
    choices : mapping of str to sequence of str, optional
        Fields whose text is one of a registry's keys.
    labels : mapping of str to str, optional
        Row labels that say more than the field's name.
    leave_out : sequence of str
        Fields without a row; they keep their defaults.
    """

    def __init__(
        self,
        kind: type[Settings],
        *,
        basic: Sequence[str],
        choices: Mapping[str, Sequence[str]] | None = None,
        labels: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> None:
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.kind = kind
        self.rows: dict[str, ValueWidget] = {}
        names = [*basic, *(n for n in kind.model_fields if n not in basic and n not in leave_out)]
        for name in names:
            row = _row(name, kind.model_fields[name], (choices or {}).get(name))
            row.label = (labels or {}).get(name, label_of(name))
            self.rows[name] = row
            row.changed.connect(self._tell)
        self.native.layout().addWidget(_column([self.rows[n] for n in basic]))
        rest = [self.rows[n] for n in names if n not in basic]
        self.fold = QCollapsible("Advanced", expandedIcon="\u25bc", collapsedIcon="\u25b6")
        self.fold.setDuration(0)
        self.fold.addWidget(_column(rest))
        self.fold.setVisible(bool(rest))
        self.native.layout().addWidget(self.fold)

    def _tell(self) -> None:
        self.changed.emit(self)

    def settings(self) -> Settings:
        """Return the settings as filled in.

        Raises
        ------
        CellsegError
            If a row cannot be understood or is out of bounds.
        """
        return self.kind.checked({name: self._value(name) for name in self.rows})

    def show_settings(self, settings: Settings) -> None:
        """Fill the rows in."""
        for name, row in self.rows.items():
            value = getattr(settings, name)
            row.value = (
                ("" if value is None else f"{value:g}") if _optional_number(self._type(name)) else value
            )

    def _type(self, name: str) -> Any:
        return self.kind.model_fields[name].annotation

    def _value(self, name: str) -> Any:
        value, number = self.rows[name].value, _optional_number(self._type(name))
        if number is None:
            return value
        text = str(value).strip().replace(",", ".")
        if not text:
            return None
        try:
            return number(text)
        except ValueError:
            expected = "a whole number or nothing" if number is int else "a number or nothing"
            raise CellsegError(f"{self.rows[name].label}: {text!r}", expected) from None


def label_of(name: str) -> str:
    """Return a field's name as a row label, its unit in brackets.

    Examples
    --------
    >>> label_of("window_px"), label_of("learning_rate")
    ('window (px)', 'learning rate')
    """
    *words, last = name.split("_")
    if words and last in UNITS:
        return f"{' '.join(words)} ({UNITS[last]})"
    return name.replace("_", " ")


def _column(rows: Sequence[ValueWidget]) -> QWidget:
    widget = QWidget()
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # or the longest would widen the dock
    for row in rows:
        label = QLabel(row.label)
        label.setToolTip(row.tooltip)
        layout.addRow(label, row.native)
    return widget


def _optional_number(annotation: Any) -> type | None:
    if get_origin(annotation) not in (Union, types.UnionType):
        return None
    return next((kind for kind in get_args(annotation) if kind in (int, float)), None)


def _row(name: str, field: FieldInfo, choices: Sequence[str] | None) -> ValueWidget:
    annotation, default, tip = field.annotation, field.default, field.description or ""
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
    if choices is not None:
        row = ComboBox(name=name, value=default, choices=list(choices), tooltip=tip)
        row.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        return row
    if annotation is bool:
        box = CheckBox(name=name, value=default, tooltip=tip)
        box.text = ""  # magicgui would repeat the name that stands before it
        return box
    if annotation is int:
        low, high = _bounds(field)
        return SpinBox(name=name, value=default, min=int(low), max=int(high), tooltip=tip)
    if annotation is float:
        low, high = _bounds(field)
        step = abs(default) / 4 or 0.05
        return FloatSpinBox(name=name, value=default, min=low, max=high, step=step, tooltip=tip)
    row = LineEdit(name=name, value="" if default is None else str(default), tooltip=tip)
    if _optional_number(annotation) is not None:
        row.native.setPlaceholderText(_meaning_of_empty(tip))
    return row


def _meaning_of_empty(description: str) -> str:
    """Return what a field's description says after "empty = "."""
    said = description.rpartition("empty = ")[2] if "empty = " in description else "automatic"
    return said.rstrip(".")


def _bounds(field: FieldInfo) -> tuple[float, float]:
    found: dict[str, float] = {}
    for rule in field.metadata:
        for key in ("ge", "gt", "le", "lt"):
            value = getattr(rule, key, None)
            if value is not None:
                found[key] = value
    low = found.get("ge", found.get("gt", -WIDEST))
    high = found.get("le", found.get("lt", WIDEST))
    return low, high
