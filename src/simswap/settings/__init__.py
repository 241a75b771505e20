"""What a configuration may hold: targets, keys, types, ranges, paths, and what a recorded one may ask for."""
