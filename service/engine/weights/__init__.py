"""Reading weights files with a reader of our own, which knows tensors, plain values and nothing that can be called."""
