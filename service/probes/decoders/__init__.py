"""The decoders, and the limited processes that they run in: a file may be made to crash or to flood them."""
