"""The public key that verifies what this service has signed."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.errors import NotFound
from service.signatures import ALGORITHM, SigningKey

router = APIRouter(tags=["signing key"])


class SigningKeyOut(BaseModel):
    """A public key. Get it once over a channel that you trust, keep it, and verify with that copy."""

    algorithm: Literal["Ed25519"] = ALGORITHM
    key_id: str = Field(description="SHA-256 of the raw public key, in hex digits. Signatures name it.")
    public_key: str = Field(description="The key as PEM.")


@router.get("/signing-key")
async def read_signing_key(request: Request) -> SigningKeyOut:
    """The public key of this service's signatures. 404 if no signing key is set."""
    key: SigningKey | None = request.app.state.signing_key
    if key is None:
        raise NotFound("This service has no signing key.", field="signing_key", remedy="Set SIGNING_KEY and restart.")
    return SigningKeyOut(key_id=key.public.key_id, public_key=key.public.pem)
