"""The networks: generator and discriminators that train, recognisers and pose estimators that are frozen."""
