"""One loss a file, each a pure function of tensors; `objective` adds them up."""
