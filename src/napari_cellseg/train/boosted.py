"""The baseline beside every network: boosted trees on what is measured on a cell."""

import numpy as np
from numpy.typing import NDArray

ROUNDS, RATE, LEAVES = 150, 0.08, 15


def boosted_probabilities(
    measured: NDArray[np.float32], classes: NDArray[np.integer], train: NDArray[np.intp], *, seed: int
) -> NDArray[np.float64]:
    """Return the probabilities (n, k) of all cells, from trees grown on the training part.

    Parameters
    ----------
    measured : (n, m)
        Figures of each cell.
    classes : (n,) int
        0 to k - 1.
    train : indices
        Cells that are learned from; a class that none of them has gets the probability 0.
    seed : int

    Examples
    --------
    >>> x, y = np.linspace(0, 1, 200, dtype=np.float32)[:, np.newaxis], np.arange(200) // 100
    >>> boosted_probabilities(x, y, np.arange(0, 200, 2), seed=1).argmax(axis=1)[[1, 199]].tolist()
    [0, 1]
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=RATE,
        max_leaf_nodes=LEAVES,
        l2_regularization=1.0,
        class_weight="balanced",
        early_stopping=False,
        random_state=seed,
    )
    trees.fit(measured[train], classes[train])
    found = np.zeros((len(measured), int(classes.max()) + 1))
    found[:, trees.classes_] = trees.predict_proba(measured)
    return found
