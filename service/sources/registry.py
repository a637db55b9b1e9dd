"""Sources of an MLflow registry: its client says where they are; what its server keeps itself is read through it.

The registry is that of MLFLOW_TRACKING_URI (and MLFLOW_REGISTRY_URI) in the environment, with MLflow's own variables
for credentials. MLflow is imported here alone, by a worker's fetching process.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from service.errors import DissectError, InvalidInput
from service.sources.content import PIECE, Content, away, missing_extra, refused
from service.sources.uris import scheme_of
from service.sources.weights_file import MOST_LISTED, check_listing, choose_weights

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MOST_STEPS = 5
_ARTIFACTS = "/mlflow-artifacts/artifacts"
_CARE: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""It tells nobody that it is used, gives its token to nobody else, and does not wait for minutes."""

_UNKNOWN = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "ENDPOINT_NOT_FOUND", "BAD_REQUEST"}
_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}


class RegistryReader:
    """See `Reader`. Opened with the first source, so that nobody needs MLflow who names none of its sources."""

    def __init__(self) -> None:
        self._client: MlflowClient | None = None
        self._tracking = ""

    def locate(self, uri: str) -> str:
        """What a `models:/`, `runs:/` or `mlflow-artifacts:/` URI stands for, in another scheme than the first two.

        Raises InvalidInput where the registry has no such thing or cannot be asked, Unavailable where it is away.
        """
        client = self._connected(uri)
        place = uri
        for _ in range(_MOST_STEPS):
            if scheme_of(place) not in {"models", "runs"}:
                return place
            with _in_our_words(uri):
                place = _next_place(client, place, uri)
        raise refused("The registry leads from one place to another without end.", uri, "Name the file itself.")

    @contextmanager
    def open(self, uri: str) -> Iterator[Content]:
        """The file of an `mlflow-artifacts:/` URI, or the one file of weights below it."""
        self._connected(uri)
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        self._check_host(uri)
        path = unquote(urlsplit(uri).path).strip("/")
        files = self._files_below(path, uri)
        if files:
            path = f"{path}/{choose_weights(files, uri)}"

        creds = get_default_host_creds(self._tracking)  # type: ignore[no-untyped-call]
        endpoint = f"/api/2.0{_ARTIFACTS}/{quote(path)}"
        with _in_our_words(uri):
            response = http_request(  # type: ignore[no-untyped-call]
                creds, endpoint, "GET", stream=True, raise_on_status=False
            )
        try:
            _check_status(response.status_code, uri)
            length = response.headers.get("content-length", "")
            size = int(length) if length.isdecimal() and "content-encoding" not in response.headers else None
            place = f"mlflow-artifacts:/{quote(path)}"
            yield Content(_pieces(response, uri), size, place, response.headers.get("etag"))
        finally:
            response.close()

    def _connected(self, uri: str) -> "MlflowClient":
        if self._client is not None:
            return self._client

        tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
        if scheme_of(tracking) not in {"http", "https"}:
            raise refused(
                "The workers do not know where the model registry is.",
                uri,
                "Set MLFLOW_TRACKING_URI in the workers' environment to the address of the MLflow server, "
                "as in https://mlflow.hospital.example.",
            )

        for name, value in _CARE.items():
            os.environ.setdefault(name, value)
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise missing_extra("Sources of a model registry", "mlflow", uri) from None

        self._tracking = tracking.rstrip("/")
        registry = os.environ.get("MLFLOW_REGISTRY_URI") or None
        self._client = MlflowClient(tracking_uri=self._tracking, registry_uri=registry)
        return self._client

    def _check_host(self, uri: str) -> None:
        named = urlsplit(uri).netloc
        known = urlsplit(self._tracking).netloc.rpartition("@")[2]
        if named and named != known:
            raise refused(
                f"The artifacts are on another server than the registry, {named}.",
                uri,
                "Leave the host out, or set MLFLOW_TRACKING_URI of the workers to that server.",
            )

    def _files_below(self, path: str, uri: str) -> list[str]:
        """The files of a folder, by their paths in it; empty where the path is a file, or leads to nothing."""
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        with _in_our_words(uri):
            repository = MlflowArtifactsRepository(f"mlflow-artifacts:/{quote(path)}", tracking_uri=self._tracking)
            files: list[str] = []
            waiting: list[str | None] = [None]
            while waiting:
                for entry in repository.list_artifacts(waiting.pop()):  # type: ignore[no-untyped-call]
                    if entry.is_dir:
                        waiting.append(entry.path)
                    else:
                        files.append(entry.path)
                if len(files) + len(waiting) > MOST_LISTED:
                    break
        check_listing(files, uri)
        return [] if files == [PurePosixPath(path).name] and _is_file(path) else files


def _is_file(path: str) -> bool:
    """A server that is asked for what is below a file answers with that file."""
    return bool(PurePosixPath(path).suffix)


def _next_place(client: "MlflowClient", uri: str, asked: str) -> str:
    """One step from a URI of the registry towards the files."""
    first, _, below = uri.partition(":/")[2].strip("/").partition("/")
    if scheme_of(uri) == "runs":
        return _place_of_run(client, first, below, asked)

    if "@" in first:
        name, _, alias = first.partition("@")
        version = client.get_model_version_by_alias(name, alias)
        return _joined(_source(version, asked), below)

    number, _, rest = below.partition("/")
    if number.isdecimal() and not first.startswith("m-"):
        return _joined(_source(client.get_model_version(first, number), asked), rest)
    return _joined(client.get_logged_model(first).artifact_location, below)


def _place_of_run(client: "MlflowClient", run_id: str, below: str, asked: str) -> str:
    """A run's artifact; or a model that the run has logged, which MLflow 3 keeps beside the run's artifacts."""
    run = client.get_run(run_id)
    artifact_uri = run.info.artifact_uri
    if not artifact_uri:
        raise refused("The run has no artifacts.", asked, "Name another run.")

    first, _, rest = below.partition("/")
    if first not in [entry.path for entry in client.list_artifacts(run_id)]:
        outputs = run.outputs.model_outputs if run.outputs else []
        for output in outputs:
            model = client.get_logged_model(output.model_id)
            if model.name == first:
                return _joined(model.artifact_location, rest)
    return _joined(artifact_uri, below)


def _source(version: Any, asked: str) -> str:
    if not version.source:
        raise refused("The registry does not say where that version is.", asked, "Name the file itself.")
    return str(version.source)


def _joined(place: str, below: str) -> str:
    return f"{place.rstrip('/')}/{below}" if below else place


@contextmanager
def _in_our_words(uri: str) -> Iterator[None]:
    """MLflow's own messages may repeat an address with a password in it."""
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except DissectError:
        raise
    except MlflowException as error:
        code = error.error_code
        if code in _UNKNOWN:
            raise refused(
                "The model registry has no such model, version, alias or run.",
                uri,
                "Check its name, and that MLFLOW_TRACKING_URI of the workers is that registry.",
            ) from None
        if code in _DENIED:
            raise _denied(uri) from None
        raise away("The model registry cannot be reached.", uri) from None
    except requests.HTTPError as error:
        _check_status(0 if error.response is None else error.response.status_code, uri)
        raise away("The model registry cannot be reached.", uri) from None
    except (requests.RequestException, OSError):
        raise away("The model registry cannot be reached.", uri) from None


def _check_status(status: int, uri: str) -> None:
    if status == 200:
        return
    if status in {401, 403}:
        raise _denied(uri)
    if status in {400, 404}:
        raise refused("The model registry has no such artifact.", uri, "Check the path below the run or the model.")
    raise away(f"The model registry answered {status}.", uri)


def _denied(uri: str) -> InvalidInput:
    return refused(
        "The model registry does not let the workers read it.",
        uri,
        "Give the workers' environment a login that may (MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD).",
    )


def _pieces(response: Any, uri: str) -> Iterator[bytes]:
    with _in_our_words(uri):
        yield from response.iter_content(chunk_size=PIECE)
