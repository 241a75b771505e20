"""The parts of a video's swap: reading, finding faces, choosing, swapping, and a work folder to resume from."""
