"""`python -m api.openapi` prints the OpenAPI document; docs/openapi.json is the copy that a test compares with."""

import json

from pydantic import SecretStr

from api.app import create_app
from service.config import Settings


def main() -> None:
    """Print the document of an application that connects to nothing."""
    nowhere = Settings(
        database_url=SecretStr("postgresql+psycopg://"),
        broker_url=SecretStr("redis://"),
        api_key=SecretStr("unused"),
        data_roots="/",
    )
    print(json.dumps(create_app(nowhere).openapi(), indent=1))  # noqa: T201 - printing is what it is for


if __name__ == "__main__":
    main()
