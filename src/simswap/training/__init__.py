"""Phases of training, callbacks, optimisation: no maths of losses or networks."""
