"""The method: phases of an iteration, optimizers, validation, resuming. Losses and networks are elsewhere."""
