"""Things found in images: filaments traced through crossings, straightened, cut into segments."""
