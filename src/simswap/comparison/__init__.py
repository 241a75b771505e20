"""Runs side by side: read, folded over seeds, compared, drawn and written as one page."""
