"""Micrographs, cells and what people say about them: reading, annotating, simulating."""
