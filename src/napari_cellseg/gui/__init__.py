"""The napari side: docks, readers and menus. Nothing else imports this package."""
