"""The parametric head, its photographs and data sets, and the training of its small networks."""
