"""The Celery worker and the scheduler."""
