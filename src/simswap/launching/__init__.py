"""Processes, ranks, folders and the end of a job: who starts what, where it writes, how it ends."""
