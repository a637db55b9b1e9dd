"""Whole jobs on small networks, as the tests of a worker have them."""

from tests.pipelines.conftest import folder, settings

__all__ = ["folder", "settings"]
