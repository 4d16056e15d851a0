"""Cells and what people and models say of them: the parts of the Classify and Gallery docks."""
