"""Prepared face crops: from raw photos to training batches."""
