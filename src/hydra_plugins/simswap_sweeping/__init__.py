"""Hydra looks for sweepers and launchers below ``hydra_plugins``; what they do is in ``simswap.sweeping``."""
