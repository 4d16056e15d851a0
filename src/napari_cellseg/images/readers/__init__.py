"""One module for each kind of image file; `images.micrographs.READERS` lists them."""
