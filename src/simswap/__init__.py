"""SimSwap Lab: train, sweep, ablate and measure SimSwap face-swapping networks."""

__version__ = "0.1.0"

from simswap.home import settle_home

NO_HOME = settle_home()  # first of all: libraries look for the home folder when they are imported
"""What front doors say where the user has no home folder; None where there is one."""
