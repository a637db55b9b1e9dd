"""`python -m checks.client_models` writes client/models.py: the types of what the service sends and is sent.

They come from docs/openapi.json; a test makes them again and compares.
"""

import json
from pathlib import Path

OPENAPI = Path("docs/openapi.json")
MODELS = Path("client/models.py")

_HEAD = '"""The types of requests and answers. Made from docs/openapi.json by `python -m checks.client_models`."""'


def client_models(openapi: str) -> str:
    """The module's text. openapi: the document as JSON."""
    from datamodel_code_generator import InputFileType, LiteralType, generate
    from datamodel_code_generator.enums import DataModelType, OpenAPIScope
    from datamodel_code_generator.format import Formatter, PythonVersion

    text = generate(
        json.dumps(json.loads(openapi)),
        input_file_type=InputFileType.OpenAPI,
        openapi_scopes=[OpenAPIScope.Schemas],
        output_model_type=DataModelType.TypingTypedDict,
        target_python_version=PythonVersion.PY_311,
        use_closed_typed_dict=False,  # mypy does not know PEP 728
        enum_field_as_literal=LiteralType.All,
        use_schema_description=True,
        use_standard_collections=True,
        use_union_operator=True,
        disable_timestamp=True,
        custom_file_header=_HEAD,
        formatters=[Formatter.BUILTIN],
    )
    return f"{str(text).rstrip()}\n"


def main() -> None:
    """Write the module."""
    MODELS.write_text(client_models(OPENAPI.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
