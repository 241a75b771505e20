"""Starting and ending jobs: commands, processes and ranks, run folders, stops."""
