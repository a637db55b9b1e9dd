"""The `mammodissect` command."""
