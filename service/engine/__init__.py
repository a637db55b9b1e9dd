"""Dissection as plain torch: tensors, paths and dataclasses in, dataclasses out. No database, no HTTP, no queue."""
