"""A study of classifiers: several systems, and channels alone and together, on the same single cells."""
