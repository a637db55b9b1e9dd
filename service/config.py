"""All settings, read once from the environment by `create_app`, `create_worker` and the command line."""

import logging
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import InvalidInput
from service.wrong_values import expected_of


class Settings(BaseSettings):
    """Frozen settings; each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        default=SecretStr(""), description="SQLAlchemy URL of Postgres, `postgresql+psycopg://...`."
    )
    service_database_url: SecretStr = Field(
        default=SecretStr(""),
        description="For `migrate`: the same database with the other processes' login, which it creates or updates.",
    )
    broker_url: SecretStr = Field(
        default=SecretStr(""),
        description="Celery broker URL of Redis or Valkey, `redis://...` or `redis+socket://...`.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key that clients send as `Authorization: Bearer ...`; the API refuses to start without one.",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="More keys, each with the name it acts under in the trail: `name=key,name=key`.",
    )
    pictures: Literal["on", "off"] = Field(
        default="on", description="`off`: nobody gets pictures of probe images, in reports neither."
    )
    picture_keys: str = Field(
        default="",
        description="Names of the keys that may get pictures of probe images, comma-separated. Empty: all.",
    )
    signing_key: str = Field(
        default="",
        description="File of the Ed25519 private key (PEM) that reports and the trail's head are signed with.",
    )
    data_roots: str = Field(
        default="",
        description="Colon-separated folders that checkpoints, dissectors, manifests and images must be in.",
    )
    max_file_gb: int = Field(
        default=32, ge=1, le=4096, description="The largest checkpoint or dissector's folder (GB) that is read."
    )
    source_hosts: str = Field(
        default="",
        description="Hosts that workers may fetch https:// sources from, comma-separated: names, `*.suffix`, "
        "`public`, networks. Private addresses only by their network. Empty: none.",
    )
    source_cache_dir: str = Field(
        default="",
        description="Folder where workers keep fetched files. Empty: one of the user's in the system's temp folder.",
    )
    source_cache_gb: int = Field(
        default=64, ge=1, le=65_536, description="The most (GB) that the fetched files of a machine may take."
    )
    architecture_packages: str = Field(
        default="",
        description="Installed packages, comma-separated, whose architectures (`own/<name>`) the worker may import.",
    )
    mlflow_webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret of MLflow's webhooks to /registry-events. Empty: the API refuses these webhooks.",
    )
    must_have: str = Field(
        default="", description="File of clinically essential concepts, for coverage. Empty: the bundled list."
    )
    evidence_map: str = Field(
        default="",
        description="File that maps an audit's evidence to regulations, with dates. Empty: the bundled file.",
    )
    requests_at_once: int = Field(
        default=8,
        ge=2,
        le=64,
        description="Requests that the API handles at once. Each uses a database connection; the API opens two more.",
    )
    max_body_mb: int = Field(
        default=16, ge=1, le=256, description="The largest request body (MB) that the API accepts."
    )
    body_time_s: float = Field(default=30.0, gt=0, le=600, description="Seconds in which a request body must arrive.")
    device: str = Field(default="auto", description="Where networks run: `auto`, `cpu` or `cuda:N`.")
    batch_size: int = Field(
        default=8, ge=1, le=4096, description="Probe images per forward pass, for jobs that do not set it."
    )
    shard_size: int = Field(
        default=256, ge=1, le=1_000_000, description="Probe images per work item, for jobs that do not set it."
    )
    fire_time_limit_s: float = Field(
        default=900.0, gt=0, le=86_400, description="Seconds that a schedule's fire waits for the files of its audit."
    )
    artifacts_url: str = Field(
        default="",
        description="Where intermediate results are kept: `file:///folder` that all workers share, or `s3://bucket/prefix`.",
    )
    activations_gb: int = Field(
        default=64,
        ge=0,
        le=1_048_576,
        description="The most (GB) that all activations of a job may take in the artifact store. A job with more keeps "
        "only the largest of each unit, and its neurons have no direction, no verdict and no agreement.",
    )
    lease_s: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds without a heartbeat after which a worker counts as lost."
    )
    heartbeat_s: float = Field(
        default=1.0,
        gt=0,
        le=600,
        description="Seconds between a worker's heartbeats; also how soon it notices a cancel.",
    )
    max_attempts: int = Field(
        default=5, ge=1, le=100, description="Attempts at a work item before the service gives up its job."
    )
    item_time_limit_s: float = Field(
        default=6 * 3600.0, gt=0, description="The longest time (seconds) for one work item."
    )
    inspect_time_limit_s: float = Field(
        default=300.0,
        gt=0,
        description="The longest time (seconds) to open a registered model or dissector, or to draw a picture.",
    )
    memory_limit_mb: int = Field(
        default=0, ge=0, description="The most memory (MB) for a worker's computation; 0: 80 % of the machine's memory."
    )
    model_cache_mb: int = Field(
        default=4096, ge=0, description="Memory (MB) of networks that a worker keeps loaded between work items."
    )
    grace_s: float = Field(
        default=15.0, ge=0, description="Seconds that a worker waits after SIGTERM for its work item to end."
    )
    alert_hosts: str = Field(
        default="public",
        description="Allowed webhook hosts, comma-separated: "
        "`public` (any public address), names, `*.suffix`, networks.",
    )
    alert_http: bool = Field(
        default=False, description="Whether to allow webhooks to http:// addresses other than the loopback."
    )
    alert_ca_file: str = Field(
        default="",
        description="PEM file of additional CA certificates to trust for webhook receivers and the mail server.",
    )
    alert_timeout_s: float = Field(default=20.0, gt=0, le=60, description="Seconds that a receiver has to answer.")
    alert_senders: int = Field(default=8, ge=1, le=64, description="The most alerts that a scheduler sends at once.")
    smtp_host: str = Field(
        default="", description="Mail server for alerts. Empty: the service sends no alerts by e-mail."
    )
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="Port of the mail server.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="`starttls`, `tls` from the first byte on, or `none`."
    )
    smtp_user: str = Field(default="", description="User name at the mail server. Empty: no login.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="The user's password; never sent without TLS.")
    smtp_sender: str = Field(default="", description="Sender address of alerts.")
    log_level: str = Field(default="INFO", description="The lowest level to log.")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        levels = logging.getLevelNamesMapping()
        if level.upper() not in levels:
            raise ValueError(f"it is not one of {', '.join(levels)}")
        return level

    @property
    def architecture_packages_named(self) -> tuple[str, ...]:
        """The names in `architecture_packages`."""
        names = (name.strip() for name in self.architecture_packages.split(","))
        return tuple(name for name in names if name)

    @property
    def signing_key_path(self) -> Path | None:
        """`signing_key` as a path, None where it is empty."""
        return Path(self.signing_key) if self.signing_key else None

    @property
    def evidence_map_path(self) -> Path | None:
        """`evidence_map` as a path, None where it is empty."""
        return Path(self.evidence_map) if self.evidence_map else None

    @property
    def must_have_path(self) -> Path | None:
        """`must_have` as a path, None where it is empty."""
        return Path(self.must_have) if self.must_have else None


def read_settings() -> Settings:
    """The settings in the environment. Raises InvalidInput for a value that cannot be used, naming its variable."""
    try:
        return Settings()
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]

    name = str(first_error["loc"][0])
    field = Settings.model_fields[name]
    value = "***" if field.annotation is SecretStr else first_error["input"]

    kind = first_error["type"]
    context = first_error.get("ctx", {})
    why = context["error"] if kind == "value_error" else f"it must be {expected_of(kind, context)}"
    raise InvalidInput(
        f"{name.upper()} is '{value}', which cannot be used: {why}.",
        field=name,
        value=value,
        remedy=f"Correct it or unset it. It means: {field.description}",
    )
