"""`python -m tests.embedded.hold DIR`: start both servers in a thread that ends, report, hold until stdin ends."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import redis

from cli.embedded import PostgresServer, ValkeyServer


def main() -> None:
    directory = Path(sys.argv[1])
    postgres = PostgresServer(directory / "postgres", settings={"fsync": "off"})
    valkey = ValkeyServer(directory / "valkey")
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(postgres.start).result()
        pool.submit(valkey.start).result()
    with (
        psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as connection,
        redis.Redis.from_url(valkey.redis_url) as client,
    ):
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES ('kept')")
        client.rpush("kept", "kept")
        report = {
            "user": os.geteuid(),
            "pids": [process.pid for process in psutil.Process().children(recursive=True)],
            "rows": connection.execute("SELECT count(*) FROM kept").fetchone(),
            "items": client.llen("kept"),
            "sockets": str(postgres.socket_dir),
        }
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    valkey.stop()
    postgres.stop()


if __name__ == "__main__":
    main()
