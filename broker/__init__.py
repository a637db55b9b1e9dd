"""The one place that knows how messages are sent: API, worker and scheduler share it."""
