"""What is measured of a swap: torchmetrics that add up over ranks and keep every sample for the intervals."""
