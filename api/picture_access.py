"""Who may get pictures of probe images: a right of its own, as they show patients."""

from dataclasses import dataclass
from typing import Self

from fastapi import Request

from api.keys import ApiKey
from service.config import Settings
from service.errors import Forbidden, InvalidInput


@dataclass(frozen=True, slots=True)
class PictureAccess:
    """What PICTURES and PICTURE_KEYS say."""

    is_on: bool

    names: frozenset[str]
    """Of the keys that may get pictures; empty where all may."""

    @classmethod
    def of(cls, settings: Settings, keys: tuple[ApiKey, ...]) -> Self:
        """What the settings say. Raises InvalidInput for a name that no key has."""
        names = frozenset(name.strip() for name in settings.picture_keys.split(",") if name.strip())
        known = sorted(key.name for key in keys)
        for name in sorted(names):
            if name not in known:
                raise InvalidInput(
                    f"PICTURE_KEYS names '{name}', and no API key has that name.",
                    field="picture_keys",
                    value=name,
                    remedy=f"Write names of API_KEYS, separated by commas. There are: {', '.join(known)}.",
                )
        return cls(settings.pictures == "on", names)

    def why_not(self, name: str) -> Forbidden | None:
        """The error for a caller of that name who may not get pictures; None for one who may."""
        if not self.is_on:
            return Forbidden(
                "Pictures are switched off.",
                field="PICTURES",
                value="off",
                remedy="Whoever runs the service can set PICTURES=on.",
            )
        if self.names and name not in self.names:
            return Forbidden(
                f"The key '{name}' may not get pictures of probe images.",
                field="Authorization",
                remedy="Use a key that may, or have it added to PICTURE_KEYS by whoever runs the service.",
            )
        return None


def may_see_pictures(request: Request) -> bool:
    """May whoever calls get pictures of probe images?"""
    return _why_not(request) is None


async def pictures_allowed(request: Request) -> None:
    """Raise Forbidden for a caller who may not get pictures of probe images."""
    error = _why_not(request)
    if error is not None:
        raise error


def _why_not(request: Request) -> Forbidden | None:
    access: PictureAccess = request.app.state.picture_access
    return access.why_not(getattr(request.state, "actor", ""))
