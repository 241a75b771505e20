"""Pickled numpy arrays, read as data: whatever else a pickle names is refused."""

import pickle

import numpy as np


class ArraysOnly(pickle.Unpickler):
    """An unpickler that knows the three names of a pickled numpy array, and refuses all others."""

    # Taken from an array itself: numpy 1 and 2 keep the function in different modules.
    _RECONSTRUCT = np.zeros(0).__reduce__()[0]

    def find_class(self, module: str, name: str) -> object:
        """The name's meaning; raises UnpicklingError for all but an array's own."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return self._RECONSTRUCT
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"names {module}.{name}, which is not an array")
