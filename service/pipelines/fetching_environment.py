"""How a worker's host starts the process that fetches sources, and what of its environment that gets."""

import fnmatch
import os
from collections.abc import Mapping

from service.config import Settings

FETCHING = "service.pipelines.fetching:open_runner"
"""The runner of fetches."""

_VARIABLES = (
    *("AWS_*", "MLFLOW_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def fetching_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the fetching process gets of the worker's environment, besides what every child gets.

    No setting of ours is among it: MLFLOW_WEBHOOK_SECRET is the API's.
    """
    return {
        name: value
        for name, value in environment.items()
        if name.lower() not in Settings.model_fields and any(fnmatch.fnmatchcase(name, form) for form in _VARIABLES)
    }
