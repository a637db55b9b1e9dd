"""What is answered while a picture is drawn."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field


class PictureAwaitedOut(BaseModel):
    """A picture that a worker is to draw."""

    job: UUID
    row: int = Field(description="The image's row in the manifest.")
    state: Literal["waiting", "drawing"] = Field(description="`waiting`: no worker has begun it yet.")
    retry_after_s: int = Field(description="When to ask again, as the header Retry-After says.")
