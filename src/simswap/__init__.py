"""SimSwap Lab: train, sweep, ablate and measure SimSwap face-swapping networks."""

__version__ = "0.1.0"
