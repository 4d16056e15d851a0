"""Trained networks over big images and many files."""
