"""The local page: a swap to try, runs to look at (``simswap-app``)."""
