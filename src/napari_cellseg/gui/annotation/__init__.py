"""Classes, images and masks of a project: the parts of the Annotate dock."""
