"""Fitting a `projected` dissector on a probe set with reports, and measuring it on other patients."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.groups import group_images
from service.domain.jobs import BATCH_SIZE, Progress, Stage
from service.domain.json_values import StoredJson
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem
from service.engine.dissectors.encoders import ImageEncoderSpec, ImageFeatures, SentenceEncoder, TextEncoderSpec
from service.engine.dissectors.heads import Heads
from service.engine.dissectors.projected import Bundle, check_place, write_bundle
from service.engine.fitting.encoder import Batches, TrainingOptions, train_encoder
from service.engine.fitting.heads import FittedHeads, HeadOptions, Pairs, fit_heads
from service.engine.fitting.report_texts import texts_of
from service.engine.probing.batches import image_batches
from service.errors import InvalidInput
from service.ports import ProbeImages, ProgressListener
from service.probes.manifest import with_digests
from service.studies.measure_dissector import measure
from service.studies.patients import Split, check_apart, split_by_patient

_LEAST_PAIRS = 40


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How a dissector is fitted."""

    height: int = 512
    """Height that images are resized to, in pixels; small findings need large images."""

    width: int = 320
    """Width that images are resized to, in pixels."""

    crop_to_breast: bool = False
    """Cut away what does not vary before resizing."""

    image_encoder: Literal["frozen", "trained"] = "frozen"
    """`frozen` computes its features once and fits the heads in seconds.

    `trained` then goes on with encoder and heads together.
    """

    heads: HeadOptions = field(default_factory=HeadOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)

    held_out_share: float = 0.2
    """Share of the patients who are kept for the figures."""

    held_back_share: float = 0.1
    """Share of the patients whose loss stops the fit."""

    seed: int = 0

    provenance: StoredJson = field(default_factory=dict)
    """What else the bundle shall say."""


@dataclass(frozen=True)
class FitReport:
    """Where the bundle is, how many images and patients each part has, the held-back losses, the held-out figures."""

    path: Path
    images: dict[str, int]
    patients: dict[str, int]
    losses: tuple[float, ...]
    held_out: dict[str, Any]


def fit_dissector(
    images: ProbeImages,
    out: Path,
    options: FitOptions,
    *,
    device: torch.device,
    progress: ProgressListener,
    held_out: ProbeImages | None = None,
) -> FitReport:
    """Fit on the images' reports, measure on patients that were not used, and write the bundle to `out`.

    Images without a report have no part in the fit: what they match is not known. They may still count in the figures.
    held_out: images for the figures instead of a share of `images`; they must be other patients', and no copies.
    Raises InvalidInput when reports are missing or too few, or patients cannot be kept apart; UnreadableImage;
    InvalidDissector when the encoders' packages are not installed or `out` is something else.
    """
    items = with_digests(images.items)
    check_place(out)
    _check_reports(items)

    split = _with_reports(
        items,
        split_by_patient(
            items,
            held_back_share=options.held_back_share,
            held_out_share=options.held_out_share if held_out is None else 0.0,
            seed=options.seed,
        ),
    )
    tested: ProbeImages = _Chosen(images, split.held_out) if held_out is None else held_out
    tested_items = with_digests(tested.items)
    if held_out is not None:
        check_apart(items, tested_items)

    reports = [item.text or "" for item in items]
    texts, texts_of_reports = texts_of(reports, split.fit)

    progress(Progress(Stage.LOAD, 0, 2))
    image_spec, text_spec = ImageEncoderSpec(), TextEncoderSpec()
    trained = options.image_encoder == "trained"
    encoder = ImageFeatures(image_spec, device)
    sentence_encoder = SentenceEncoder(text_spec, device)
    progress(Progress(Stage.LOAD, 2, 2))

    contract = Preprocessing(
        options.height, options.width, encoder.mean, encoder.std, crop_to_breast=options.crop_to_breast
    )
    total = len(items) + (0 if held_out is None else len(held_out.items))
    inputs = _EncoderInputs(images, contract)
    features = _features(encoder, inputs, progress, (0, total))
    text_embeddings = sentence_encoder(texts).clone()
    matches = _matches(texts_of_reports, len(texts)).to(device)

    fitted = fit_heads(
        Pairs(features[split.fit], text_embeddings, matches[split.fit]),
        Pairs(features[split.held_back], text_embeddings, matches[split.held_back]),
        options.heads,
        lambda done, most: progress(Progress(Stage.SCORE, done, most)),
    )
    heads, losses, weights = fitted.heads, fitted.losses, None
    if trained:
        encoder = ImageFeatures(image_spec, device, trainable=True)
        heads, losses = _train(encoder, fitted, inputs, split, text_embeddings, matches, options)
        weights = encoder.network.state_dict()

    if held_out is not None or trained:
        last = (total - len(tested.items), total)
        seen = _features(encoder, _EncoderInputs(tested, contract), progress, last)
    else:
        seen = features[split.held_out]
    figures = measure(heads, sentence_encoder, seen, tested_items)

    progress(Progress(Stage.STORE, 0, 1))
    bundle = Bundle(
        image_encoder=image_spec,
        image_encoder_sha256=encoder.sha256,
        text_encoder=text_spec,
        text_encoder_sha256=sentence_encoder.sha256,
        preprocessing=contract,
        heads=heads,
        provenance=_provenance(items, split, options, len(texts), losses),
        held_out=figures,
        encoder=weights,
    )
    path = write_bundle(bundle, out)
    progress(Progress(Stage.STORE, 1, 1))

    parts = {
        "fit": [items[row] for row in split.fit],
        "held_back": [items[row] for row in split.held_back],
        "held_out": tested_items,
    }
    return FitReport(
        path=path,
        images={name: len(part) for name, part in parts.items()},
        patients={name: group_images(part).count for name, part in parts.items()},
        losses=losses,
        held_out=figures,
    )


def _check_reports(items: Sequence[ProbeItem]) -> None:
    with_text = sum(map(_has_report, items))
    if with_text == 0:
        raise InvalidInput(
            "The manifest has no text column, or it is empty.",
            field="text",
            remedy="Add a column 'text' with each image's report.",
        )

    if with_text < _LEAST_PAIRS:
        raise InvalidInput(
            f"There are {with_text} images with a report; fitting needs at least {_LEAST_PAIRS}.",
            field="text",
            value=with_text,
            remedy="Add more images with reports.",
        )


def _has_report(item: ProbeItem) -> bool:
    return bool(item.text and item.text.strip())


def _with_reports(items: Sequence[ProbeItem], split: Split) -> Split:
    """Only images with a report are fitted on, or stop the fit. Raises InvalidInput when one of the two has none."""
    fit = [row for row in split.fit if _has_report(items[row])]
    held_back = [row for row in split.held_back if _has_report(items[row])]

    for rows, purpose in ((fit, "fit on"), (held_back, "stop the fit by")):
        if not rows:
            raise InvalidInput(
                f"None of the patients drawn to {purpose} has a report.",
                field="text",
                remedy="Add reports of more patients, or take another seed.",
            )
    return replace(split, fit=fit, held_back=held_back)


@dataclass(frozen=True, slots=True)
class _EncoderInputs:
    """Images, and how they are prepared for the encoder."""

    images: ProbeImages
    contract: Preprocessing

    def batches(self) -> Generator[tuple[Tensor, tuple[int, ...]]]:
        """All images in order, float32 [B, 3, H, W], with their numbers. A caller that leaves early must close it."""
        span = range(len(self.images.items))
        stream = image_batches(
            self.images, self.contract, self.contract, span=span, batch_size=BATCH_SIZE, on_unreadable="fail"
        )
        with closing(stream):
            for batch in stream:
                yield batch.dissector, batch.indices

    def chosen(self, rows: Sequence[int]) -> "_EncoderInputs":
        """Those images alone, in that order."""
        return _EncoderInputs(_Chosen(self.images, rows), self.contract)


def _features(
    encoder: ImageFeatures, inputs: _EncoderInputs, progress: ProgressListener, span: tuple[int, int]
) -> Tensor:
    """Features [N, F] of every image, float16 on the encoder's device: half of the memory, far finer than the data."""
    done, total = span
    progress(Progress(Stage.PROBE, done, total))
    chunks = []
    with torch.inference_mode(), closing(inputs.batches()) as batches:
        for batch, _ in batches:
            chunks.append(encoder(batch.to(encoder.device)).half())
            done += len(batch)
            progress(Progress(Stage.PROBE, done, total))
    return torch.cat(chunks).clone()


class _Chosen:
    """Some images of a probe set, in an order of their own."""

    def __init__(self, images: ProbeImages, rows: Sequence[int]) -> None:
        self._images = images
        self._rows = rows
        self.items = [images.items[row] for row in rows]

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        return self._images.load(self._rows[index], contracts)


def _train(
    encoder: ImageFeatures,
    fitted: FittedHeads,
    inputs: _EncoderInputs,
    split: Split,
    text_embeddings: Tensor,
    matches: Tensor,
    options: FitOptions,
) -> tuple[Heads, tuple[float, ...]]:
    generator = torch.Generator().manual_seed(options.seed)

    def passing(rows: list[int], *, shuffled: bool) -> Batches:
        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            order = [rows[i] for i in torch.randperm(len(rows), generator=generator)] if shuffled else rows
            with closing(inputs.chosen(order).batches()) as stream:
                for batch, indices in stream:
                    chosen = torch.tensor([order[i] for i in indices], device=encoder.device)
                    yield batch.to(encoder.device), chosen

        return batches

    return train_encoder(
        encoder,
        fitted,
        text_embeddings,
        matches,
        fit=passing(split.fit, shuffled=True),
        held_back=passing(split.held_back, shuffled=False),
        options=options.training,
    )


def _matches(texts_of_reports: Sequence[Sequence[int]], text_count: int) -> Tensor:
    matches = torch.zeros(len(texts_of_reports), text_count, dtype=torch.bool)
    for row, indices in enumerate(texts_of_reports):
        matches[row, list(indices)] = True
    return matches


def _provenance(
    items: Sequence[ProbeItem], split: Split, options: FitOptions, text_count: int, losses: tuple[float, ...]
) -> StoredJson:
    """What a reader needs to know where the heads come from; no dates, so that equal fits give equal files."""
    parts = {"fit": split.fit, "held_back": split.held_back}
    return {
        **options.provenance,
        "image_encoder": options.image_encoder,
        "seed": options.seed,
        "heads": asdict(options.heads),
        **({"training": asdict(options.training)} if options.image_encoder == "trained" else {}),
        "images": {name: len(rows) for name, rows in parts.items()},
        "patients": {name: group_images([items[row] for row in rows]).count for name, rows in parts.items()},
        "texts": text_count,
        "held_back_losses": list(losses),
    }
