"""The fields of a form, checked as the API checks the body of the same call."""

from collections.abc import Mapping
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.request_errors import wrong_fields
from service.errors import InvalidInput

Checked = TypeVar("Checked", bound=BaseModel)


def checked(schema: type[Checked], values: Mapping[str, object]) -> Checked:
    """The values in the form that the schema gives them. Raises InvalidInput for the first that is wrong."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        in_body = [cast("ErrorDetails", {**details, "loc": ("body", *details["loc"])}) for details in error.errors()]
        listed, _ = wrong_fields(in_body, dict(values))
        first = listed[0]
        raise InvalidInput(first.detail, field=first.field, value=first.value, remedy=first.remedy) from None
