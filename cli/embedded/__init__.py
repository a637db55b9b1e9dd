"""Postgres and Valkey as child processes, for one machine and for tests."""

from cli.embedded.postgres import PostgresServer
from cli.embedded.valkey import ValkeyServer

__all__ = ["PostgresServer", "ValkeyServer"]
