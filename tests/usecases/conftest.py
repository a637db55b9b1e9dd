"""Whole jobs on small networks, as the tests of a worker have them, and a deployed network that is audited."""

from tests.pipelines.conftest import folder, settings
from tests.usecases.hospital import hospital

__all__ = ["folder", "hospital", "settings"]
