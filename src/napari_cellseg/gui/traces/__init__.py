"""Tracing, correcting and listing filaments: the parts of the Filaments dock."""
