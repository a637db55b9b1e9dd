"""All settings, read once from the environment by `create_app`, `create_worker` and the command line."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Frozen settings; each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        default=SecretStr(""), description="SQLAlchemy URL of Postgres, `postgresql+psycopg://...`."
    )
    broker_url: SecretStr = Field(
        default=SecretStr(""),
        description="Celery broker URL of Redis or Valkey, `redis://...` or `redis+socket://...`.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key that clients send as `Authorization: Bearer ...`; the API refuses to start without one.",
    )
    data_roots: str = Field(
        default="",
        description="Colon-separated folders that checkpoints, dissectors and manifests must be in. Empty: anywhere.",
    )
    device: str = Field(default="auto", description="Where networks run: `auto`, `cpu` or `cuda:N`.")
    batch_size: int = Field(default=8, ge=1, le=4096, description="Probe images per forward pass.")
    log_level: str = Field(default="INFO", description="Least severe level that is logged.")

    @cached_property
    def data_root_paths(self) -> tuple[Path, ...]:
        """`data_roots` as resolved paths."""
        return tuple(Path(root).resolve() for root in self.data_roots.split(":") if root)
