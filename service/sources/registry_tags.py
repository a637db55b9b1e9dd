"""Writing tags of a model version to an MLflow registry, by its REST API: the scheduler needs no MLflow for it."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from service.errors import InvalidInput, Unavailable
from service.key_files import check_key

_SET_TAG = "/api/2.0/mlflow/model-versions/set-tag"
_TIMEOUT_S = 20.0
_FIELD = "registered_model"


@dataclass(frozen=True, slots=True)
class MlflowTags:
    """See `service.ports.RegistryTags`. Its login is in no representation of it."""

    address: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    login: tuple[str, str] | None = field(repr=False, default=None)
    verify: ssl.SSLContext | bool = True

    longest_s: float = 60.0
    """For all tags of a version, however slowly it answers: a timeout of reads begins anew with every byte."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "MlflowTags | None":
        """The registry of MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI; None where neither is a web server.

        Raises InvalidInput where MLFLOW_TRACKING_TOKEN or MLFLOW_TRACKING_SERVER_CERT_PATH cannot be used.
        """
        address = environment.get("MLFLOW_REGISTRY_URI") or environment.get("MLFLOW_TRACKING_URI") or ""
        if not address.startswith(("http://", "https://")):
            return None

        token = environment.get("MLFLOW_TRACKING_TOKEN")
        if token:
            check_key(
                token,
                what="MLFLOW_TRACKING_TOKEN",
                field="mlflow_tracking_token",
                remedy="Write the token on one line, with nothing around it.",
            )
        user = environment.get("MLFLOW_TRACKING_USERNAME")
        return cls(
            address.rstrip("/"),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            login=(user, environment.get("MLFLOW_TRACKING_PASSWORD", "")) if user and not token else None,
            verify=_verification(environment),
        )

    def write(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """See `RegistryTags.write`."""
        try:
            asyncio.run(self._write(name, version, tags))
        except TimeoutError:
            raise _away(f"The model registry gave no answer within {self.longest_s:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise _away("The model registry cannot be reached.") from None

    async def _write(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        async with (
            asyncio.timeout(self.longest_s),
            httpx.AsyncClient(verify=self.verify, timeout=_TIMEOUT_S, trust_env=False, auth=self.login) as client,
        ):
            for key, value in tags.items():
                body = {"name": name, "version": version, "key": key, "value": value}
                address = f"{self.address}{_SET_TAG}"
                async with client.stream("POST", address, json=body, headers=dict(self.headers)) as response:
                    _check(response.status_code, name, version)  # what else it answers is not waited for


def _check(status: int, name: str, version: str) -> None:
    if status == 200:
        return
    if status in {400, 404}:
        raise InvalidInput(
            f"The model registry has no version {version} of {name}, or takes no tags of ours.",
            field=_FIELD,
            value=name,
            remedy="Look at GET /audits for the verdict.",
        )
    raise _away(f"The model registry answered {status}.")


def _away(detail: str) -> Unavailable:
    return Unavailable(
        detail,
        field=_FIELD,
        remedy="Check MLFLOW_TRACKING_URI and the login (MLFLOW_TRACKING_TOKEN) in the scheduler's environment.",
    )


def _verification(environment: Mapping[str, str]) -> ssl.SSLContext | bool:
    if environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        return False

    context = httpx.create_ssl_context()
    certificate = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    if certificate:
        try:
            context.load_verify_locations(cafile=certificate)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                "MLFLOW_TRACKING_SERVER_CERT_PATH cannot be used.",
                field="mlflow_tracking_server_cert_path",
                value=certificate,
                remedy="Name a PEM file of CA certificates that this process can read.",
            ) from error
    return context
