"""Profiles: addresses of services by name, each with the file that holds the key for it.

They are in config.toml in the folder `mammodissect` below XDG_CONFIG_HOME. Keys are never in that file.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.errors import InvalidInput, NotFound
from service.files import ANYWHERE, written_whole

DEFAULT = "default"
VARIABLE = "MAMMODISSECT_PROFILE"

_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Profile:
    """A service and who calls it."""

    name: str
    url: str
    api_key_file: Path


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles, and the name of the one that counts where nothing else is said."""

    current: str | None = None
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def find(self, name: str) -> Profile:
        """The profile of that name. Raises NotFound."""
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise NotFound(
                f"{name} is not the name of a profile. There are: {known}.",
                field="profile",
                value=name,
                remedy=f"`mammodissect login --profile {name} --url URL` makes it.",
            )
        return self.by_name[name]

    def chosen(self, name: str | None, environment: Mapping[str, str]) -> Profile | None:
        """The named profile, else that of the environment, else the current one. Raises NotFound for a name of none."""
        wanted = name or environment.get(VARIABLE) or self.current
        return None if wanted is None else self.find(wanted)

    def with_profile(self, profile: Profile) -> "Profiles":
        """These and that one, which is the current one from then on."""
        return Profiles(profile.name, {**self.by_name, profile.name: profile})

    def without(self, name: str) -> "Profiles":
        """These without that one."""
        others = {other: profile for other, profile in self.by_name.items() if other != name}
        return replace(self, current=None if self.current == name else self.current, by_name=others)


def check_name(name: str) -> None:
    """Raises InvalidInput for what is no name of a profile."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"'{name[:80]}' is no name of a profile.",
            field="profile",
            value=name,
            remedy="Use lower-case letters, digits, dashes and underscores, 64 at most.",
        )


def config_folder() -> Path:
    """Where profiles and the keys of logins are kept."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    # The standard wants a relative path to be ignored.
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".config"
    return base / "mammodissect"


def key_file_of(name: str) -> Path:
    """Where a login keeps the key of that profile."""
    return config_folder() / "keys" / name


def read_profiles() -> Profiles:
    """The profiles on record. Raises InvalidInput for a file that cannot be read or holds something else."""
    path = _path()
    try:
        content = ANYWHERE.read(path, most=_MOST_BYTES)
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise _unusable(f"cannot be read: {error.strerror}") from None

    try:
        table = tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        raise _unusable(f"is not valid TOML: {error}") from None

    listed = table.get("profiles", {})
    current = table.get("current")
    if not isinstance(listed, dict) or not isinstance(current, str | None):
        raise _unusable("has no table of profiles")
    return Profiles(current, {name: _profile(name, entry) for name, entry in listed.items()})


def write_profiles(profiles: Profiles) -> None:
    """Put the profiles on record. Raises InvalidInput where the file cannot be written."""
    lines = [] if profiles.current is None else [f"current = {_quoted(profiles.current)}", ""]
    for name, profile in sorted(profiles.by_name.items()):
        lines += [
            f"[profiles.{name}]",
            f"url = {_quoted(profile.url)}",
            f"api_key_file = {_quoted(str(profile.api_key_file))}",
            "",
        ]
    write_private(_path(), "\n".join(lines), field="profile")


def write_private(path: Path, text: str, *, field: str) -> None:
    """Write a file that its owner alone can read. Raises InvalidInput where it cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_whole(path, mode=0o600) as unfinished:
            unfinished.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInput(
            f"The file cannot be written: {error.strerror}.",
            field=field,
            value=path,
            remedy="Check the folder and its permissions, or set XDG_CONFIG_HOME to another.",
        ) from None


def _path() -> Path:
    return config_folder() / "config.toml"


def _profile(name: str, entry: Any) -> Profile:
    texts = entry if isinstance(entry, dict) else {}
    url, api_key_file = texts.get("url"), texts.get("api_key_file")
    if _NAME.fullmatch(name) is None or not isinstance(url, str) or not isinstance(api_key_file, str):
        raise _unusable(f"has a profile '{name[:80]}' without url or api_key_file, or with an impossible name")
    return Profile(name, url, Path(api_key_file).expanduser())


def _quoted(text: str) -> str:
    # A JSON string is a TOML string, but for the one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _unusable(why: str) -> InvalidInput:
    return InvalidInput(
        f"The file of profiles {why}: {_path()}.",
        field="profile",
        value=_path(),
        remedy="Correct the file, or delete it and log in again.",
    )
