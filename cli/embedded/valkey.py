"""Valkey as a child process."""

import signal
from pathlib import Path

from cli.embedded.binaries import valkey_binary
from cli.embedded.processes import Child
from cli.embedded.server import EmbeddedServer
from cli.embedded.state_dir import private_directory, wait_for_leftovers


class ValkeyServer(EmbeddedServer):
    """Valkey on a private socket, with its append-only file in `data_dir/data`."""

    name = "valkey"

    @property
    def url(self) -> str:
        """Celery's URL of database 0. Raises Unavailable when the server is stopped."""
        return self.broker_url(0)

    def broker_url(self, database: int) -> str:
        """Celery's URL of a database (0 to 15). Raises Unavailable when the server is stopped."""
        return f"redis+socket://{self._socket}?virtual_host={database}"

    @property
    def redis_url(self) -> str:
        """The Redis client's URL of database 0. Raises Unavailable when the server is stopped."""
        return f"unix://{self._socket}?db=0"

    @property
    def _socket(self) -> Path:
        return self.socket_dir / "valkey.sock"

    @property
    def _data(self) -> Path:
        return self.data_dir / "data"

    def _clear_remains(self) -> None:
        wait_for_leftovers("valkey-server", self._data)

    def _prepare(self) -> None:
        private_directory(self._data)

    def _launch(self) -> Child:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # A broker that forgets messages to save memory is worse than one that refuses new ones.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }

        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        return Child([valkey_binary(), *options], log=self.log, death_signal=signal.SIGTERM)

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.redis_url) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def _end(self, child: Child) -> None:
        child.stop([(signal.SIGTERM, 60.0)])
