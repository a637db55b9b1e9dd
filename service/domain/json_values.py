"""JSON as Python holds it, where nothing more is known of its form."""

from collections.abc import Mapping

JsonObject = Mapping[str, object]
"""A JSON object that is only read or passed on."""

StoredJson = dict[str, object]
"""A JSON object as a row of the database holds it, and as a codec writes it."""
