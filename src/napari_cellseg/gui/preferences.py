"""What the user chose on napari's settings page, or the defaults where there is none."""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[tuple[str, str], Any] = {
    ("annotate", "autosave_seconds"): 2.0,
    ("annotate", "brush_px"): 15,
    ("segment", "show_probabilities"): False,
}


def preference(page: str, key: str) -> Any:
    """Return a value of the plugin's settings page (`configurations` in napari.yaml).

    Examples
    --------
    >>> preference("annotate", "brush_px") > 0
    True
    """
    try:
        from napari.settings import get_plugin_settings  # since napari 0.9

        return getattr(getattr(get_plugin_settings("napari-cellseg"), page), key)
    except (ImportError, KeyError, AttributeError):  # an older napari, or run without being installed
        return DEFAULTS[page, key]
