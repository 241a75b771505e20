"""The networks: generator and discriminators that train, recognizers and pose estimators that are frozen."""
