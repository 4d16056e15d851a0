"""`python -m napari_cellseg` is the command line."""

import sys

from napari_cellseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
