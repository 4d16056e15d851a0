"""The one exception for what a user can put right."""


class CellsegError(Exception):
    """What was found, what was expected and what to do, in one line.

    Raised at the border (readers, settings, model files); the command line prints it
    and exits with 2, a dock shows it. Anything else that escapes is our own mistake.

    Parameters
    ----------
    found : str
        What is wrong, naming the file or setting: ``"a.tif: the file is empty"``.
    expected : str
        What would have been accepted: ``"a TIFF, MRC, PNG, JPG or OME-Zarr image"``.
    remedy : str
        What the user can do: ``"copy the file again"``.

    Examples
    --------
    >>> str(CellsegError("a.tif: the file is empty", "an image", "copy it again"))
    'a.tif: the file is empty; expected an image; copy it again'
    """

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.found, self.expected, self.remedy = found, expected, remedy
        parts = (found, f"expected {expected}" if expected else "", remedy)
        super().__init__("; ".join(" ".join(part.split()) for part in parts if part))
