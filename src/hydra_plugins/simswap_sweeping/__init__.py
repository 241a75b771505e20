"""The sweeper and the launcher that Hydra finds in ``hydra_plugins``; the work is in ``simswap.sweeping``."""
