"""What the computing child is given and what it may take: it opens files that others wrote.

No sandbox: it still is the worker's user. But code that a file managed to run in it would find no key of the API, no
signing key, no broker and no owner of the database, neither in its settings nor in its environment, nor in that of our
other programs (`hide_process_memory`, with which the child begins, too, because its decoders have no need of its
login); and what it tells its host is read as JSON (`messages`). What remains: it has the service's login to the
database and the artifact store, and opens any file that the worker's user may open, which under `mammodissect up` are
those of the keys.
"""

import fnmatch
import resource
from collections.abc import Mapping
from pathlib import Path

import psutil

from service.config import Settings

_SETTINGS = {
    *("database_url", "artifacts_url", "data_roots", "max_file_gb", "architecture_packages", "device"),
    *("memory_limit_mb", "model_cache_mb", "log_level"),
    *("source_hosts", "source_cache_dir", "source_cache_gb"),
    "activations_gb",
}
"""Settings that a computation needs; the child gets the defaults of all others, which are empty or harmless."""

_VARIABLES = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHON*"),
    *("LD_LIBRARY_PATH", "CUDA_*", "NVIDIA_*", "CUBLAS_*", "CUDNN_*", "TORCH*", "PYTORCH_*", "OPENBLAS_*"),
    *("OMP_*", "MKL_*", "KMP_*", "GOMP_*", "NUMBA_*", "MALLOC_*", "XDG_CACHE_HOME", "MPLCONFIGDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "PGSSL*"),
)
_OBJECT_STORE_VARIABLES = ("AWS_*", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Libraries must not look anything up, whatever the networks' descriptions say."""

_OPEN_FILES = 4096
_PROCESSES_MORE = 4096
"""Processes and threads beyond those that the user has already: the limit counts all of them together."""
_MEMORY_MORE = 4 << 30
"""Bytes that are mapped and not used: stacks of threads, arenas of the allocator."""


def child_settings(settings: Settings) -> Settings:
    """The settings without what only the worker's host, the API or the scheduler needs."""
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name not in _SETTINGS}
    return settings.model_copy(update=defaults)


def child_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that Python, the numerical libraries and, where artifacts are in one, the object store read."""
    object_store = settings.artifacts_url.startswith("s3:")
    patterns = (*_VARIABLES, *_OBJECT_STORE_VARIABLES) if object_store else _VARIABLES

    passed = {}
    for name, value in environment.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            passed[name] = value
    return passed | _OFFLINE


def memory_limit(settings: Settings) -> int:
    """Bytes that a computation may take."""
    return settings.memory_limit_mb << 20 or int(psutil.virtual_memory().total * 0.8)


def limit_resources(settings: Settings) -> None:
    """Limit this process and all that it starts: no core dumps, so many files and processes, so much memory.

    The host looks at the memory four times a second; this limit is for what grows faster than that. With CUDA there is
    none, because the driver maps more than any network takes.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, _tasks_of_user() + _PROCESSES_MORE)
    if not _may_use_cuda(settings):
        _limit(resource.RLIMIT_DATA, memory_limit(settings) + _MEMORY_MORE)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowest, lowest))


def _tasks_of_user() -> int:
    """Threads of all processes of this user that can be seen."""
    user = psutil.Process().uids().real
    tasks = 0

    for process in psutil.process_iter():
        try:
            if process.uids().real == user:
                tasks += process.num_threads()
        except psutil.Error:
            continue

    return tasks


def _may_use_cuda(settings: Settings) -> bool:
    """Without asking torch, which is not loaded yet."""
    devices = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
    return settings.device != "cpu" and any(device.exists() for device in devices)
