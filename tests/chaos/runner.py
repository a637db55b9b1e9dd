"""An `ItemRunner` without networks: small deterministic artifacts through the real database and the real store.

What each job computes follows from the names of its layers alone. Some names make trouble on purpose: `poison` ends
the child, `hungry` allocates without end, `slow` takes its time, `broken` fails for good.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from service.analysis.layer_codec import encode_layer
from service.config import Settings
from service.db.session import open_sessions, transaction
from service.db.work import finished_shards
from service.domain.digests import digest_of
from service.domain.jobs import JobRequest, Stage
from service.domain.neurons import ActivationSummary, LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.work import AnyLease, Lease
from service.errors import InvalidCheckpoint
from service.pipelines.artifacts import Artifact, Artifacts
from service.pipelines.finish import TEXTS
from service.pipelines.picture_codec import encode_pictures
from service.storage import open_store
from service.usecases.jobs import find_job

STEPS = 4
Tell = Callable[[int], None]


def open_runner(settings: Settings) -> "HashingRunner":
    return HashingRunner(settings)


class HashingRunner:
    """Items are STEPS naps and a hash."""

    def __init__(self, settings: Settings) -> None:
        self._sessions = open_sessions(settings.database_url, pool_size=1)
        self._artifacts = Artifacts(self._sessions, open_store(settings.artifacts_url))
        self._nap_s = float(os.environ.get("CHAOS_NAP_S", "0.005"))

    def run(self, lease: AnyLease, tell: Tell, /) -> Mapping[str, Any]:
        assert isinstance(lease, Lease)
        with transaction(self._sessions) as session:
            request = find_job(session, lease.job_id).request
        self._misbehave(request, lease, tell)
        for step in range(STEPS):
            tell(step)
            time.sleep(self._nap_s)
        match lease.stage:
            case Stage.PROBE:
                return {"key": self._shard(request, lease, lease.position).key, "layers": list(_layers(request))}
            case Stage.SCORE:
                return self._layer(request, lease, str(lease.label))
        layers = [{"layer": name, **self._layer(request, lease, name)} for name in _layers(request)]
        return {
            "layers": layers,
            "manifest": {
                "results": {one["layer"]: one["sha256"] for one in layers},
                "evidence": None,
                "drawn": request.options.evidence.as_dict(),
                "dissector": {"digest": "0"},
                "concept_set": "0",
                "method": request.options.method.as_dict(),
                "device": "none",
            },
            "regions": {},
            "texts": self._texts(lease),
            "pictures": self._pictures(lease),
        }

    def _misbehave(self, request: JobRequest, lease: Lease, tell: Tell) -> None:
        if "poison" in _layers(request):
            os._exit(7)
        if "broken" in _layers(request):
            raise InvalidCheckpoint("The checkpoint is broken.", field="checkpoint")
        hoard = []
        while "hungry" in _layers(request):
            hoard.append(bytearray(os.urandom(1 << 20)) * 16)
            time.sleep(0.005)
        for _ in range(600 if "slow" in _layers(request) else 0):
            tell(0)
            time.sleep(0.05)

    def _shard(self, request: JobRequest, lease: Lease, position: int) -> Artifact:
        key = digest_of(["shard", _layers(request), position])
        return self._artifacts.obtain(
            lease.job_id, key, kind="shard", make=lambda: hashlib.sha256(key.encode()).digest()
        )

    def _texts(self, lease: Lease) -> dict[str, str]:
        def embed() -> bytes:
            return safetensors.numpy.save({TEXTS: np.eye(1, dtype=np.float32)})

        texts = self._artifacts.obtain(lease.job_id, digest_of("texts"), kind="texts", make=embed)
        return {"key": texts.key, "sha256": texts.sha256}

    def _pictures(self, lease: Lease) -> dict[str, str]:
        pictures = self._artifacts.obtain(
            lease.job_id, digest_of("pictures"), kind="pictures", make=lambda: encode_pictures({})
        )
        return {"key": pictures.key, "sha256": pictures.sha256}

    def _layer(self, request: JobRequest, lease: Lease, name: str) -> dict[str, str]:
        with transaction(self._sessions) as session:
            probed = finished_shards(session, lease.job_id)
        shards = [self._shard(request, lease, item.position) for item in probed]
        content = b"".join(shard.path.read_bytes() for shard in shards)
        key = digest_of(["layer", name, [shard.sha256 for shard in shards]])
        layer = self._artifacts.obtain(lease.job_id, key, kind="layer", make=lambda: _dissected(name, content))
        return {"key": layer.key, "sha256": layer.sha256}


def _layers(request: JobRequest) -> tuple[str, ...]:
    assert request.options.layers is not None
    return request.options.layers


def _dissected(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + content).digest()
    neurons = tuple(
        Neuron(
            unit,
            dead=False,
            activation=ActivationSummary(byte / 7, 1.0, 0.0, float(byte)),
            concepts=(RankedConcept(byte % 3, "word", byte / 3),),
            images=(TopImage(f"img-{byte}", byte, byte / 3),),
        )
        for unit, byte in enumerate(digest[:4])
    )
    return encode_layer(LayerDissection(name, neurons))
