"""Content keys: what must not be taken for something else has another key."""

from pathlib import Path
from uuid import uuid4

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from service.domain.jobs import DissectionOptions, JobRequest
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.probes import ProbeItem, ProbeSet
from service.pipelines.job_plan import JobPlan
from service.pipelines.keys import shard_key
from tests.engine.toys import Conv, GreyDissector, target_of
from tests.service.small_jobs import CONCEPTS

CPU = torch.device("cpu")
PLAN = JobPlan(
    job_id=uuid4(),
    request=JobRequest("target", "dissector", "probes", "words", DissectionOptions(None, Method.of(top_k=4))),
    target=TargetSpec(Path("weights"), "any"),
    dissector=DissectorSpec(Path("dissector")),
    probe_set=ProbeSet("probes", (ProbeItem("image", Path("image.png"), row=1),), "0" * 64, "fail"),
    concept_set=CONCEPTS,
    replay_of=None,
)


def key_of(network: nn.Module, layer: str = "blocks.0") -> str:
    return shard_key(PLAN, target_of(network, CPU), GreyDissector(CPU), CPU, images="0" * 64, layers=(layer,))


def vit(*, class_token: bool) -> nn.Module:
    return VisionTransformer(
        img_size=32,
        patch_size=16,
        embed_dim=8,
        depth=1,
        num_heads=2,
        class_token=class_token,
        global_pool="token" if class_token else "avg",
    )


def test_shards_of_pooled_tokens_are_no_shards_of_the_time_when_the_first_token_was_taken() -> None:
    with_class_token = key_of(vit(class_token=True))
    assert key_of(Conv([1], [0])) == with_class_token, "neither is read otherwise than before"
    assert key_of(vit(class_token=False)) != with_class_token
