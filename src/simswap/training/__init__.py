"""Phases of training, callbacks, optimization: no math of losses or networks."""
