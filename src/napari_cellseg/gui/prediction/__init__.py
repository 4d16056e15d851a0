"""Running a model and what becomes of its result: the parts of the Segment dock."""
