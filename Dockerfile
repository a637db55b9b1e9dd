# One image for API, worker, scheduler and migrations; docker-compose.yml says which is which.
# The version that the tests run with; give the tag with a digest (3.11-slim-trixie@sha256:...) to pin it for good.
ARG PYTHON=3.11-slim-trixie

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/mammodissect
WORKDIR /src
# What we depend on changes more seldom than what we write, and has a layer of its own. `make lock` writes both files.
COPY requirements.lock requirements-build.lock ./
RUN /opt/mammodissect/bin/pip install --only-binary :all: --require-hashes -r requirements.lock \
    && pip install --root-user-action=ignore --only-binary :all: --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY service service
COPY broker broker
COPY migrations migrations
COPY api api
COPY workers workers
COPY client client
COPY cli cli
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && /opt/mammodissect/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/mammodissect/bin/pip check \
    && /opt/mammodissect/bin/pip uninstall --yes pip

FROM python:${PYTHON}
RUN pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && groupadd --gid 10001 mammodissect \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mammodissect
COPY --from=build /opt/mammodissect /opt/mammodissect
# A new volume takes the owner of the folder it is mounted over.
RUN install --directory --mode=0700 --owner=10001 --group=10001 /artifacts
# Nothing is written outside /tmp, so the root file system can be read-only; models are never fetched from the network.
ENV PATH=/opt/mammodissect/bin:$PATH \
    HOME=/tmp \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s --retries=3 \
    CMD ["python", "-m", "cli.alive", "http://127.0.0.1:8000/health/ready"]
CMD ["python", "-m", "api", "--host", "0.0.0.0", "--port", "8000"]
