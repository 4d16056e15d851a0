"""Files of masks and coordinates that other programs write and read."""
