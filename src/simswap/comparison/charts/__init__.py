"""The plots of a comparison, one subject a file; each draws for a page or for a phone, by the width it is given."""
