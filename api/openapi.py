"""The OpenAPI document. `python -m api.openapi` prints it; docs/openapi.json is the copy that a test compares with."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from api.problems import MEDIA_TYPE, Problem


def describe_problems(app: FastAPI) -> None:
    """Describe errors as what they are: problem documents instead of FastAPI's own validation errors."""
    described: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        answer = {
            "description": "A problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = answer
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def main() -> None:
    """Print the document of an application that connects to nothing."""
    from pydantic import SecretStr

    from api.app import create_app
    from service.config import Settings

    nowhere = Settings(
        database_url=SecretStr("postgresql+psycopg://"),
        broker_url=SecretStr("redis://"),
        api_key=SecretStr("unused"),
        data_roots="/",
    )
    print(json.dumps(create_app(nowhere).openapi(), indent=1))  # noqa: T201 - printing is what it is for


if __name__ == "__main__":
    main()
