"""The rules for configurations: allowed targets, keys, types, ranges and paths, also in files recorded earlier."""
