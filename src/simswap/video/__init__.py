"""Video files: frames in, frames out, segments joined with the sound of the original."""
