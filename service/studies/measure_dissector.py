"""The figures that a fitted dissector carries: retrieval of reports, and recognition of each finding by its name."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from service.domain.groups import group_images
from service.domain.json_values import StoredJson
from service.domain.probes import ProbeItem
from service.engine.dissectors.encoders import SentenceEncoder
from service.engine.dissectors.heads import Heads
from service.engine.evidence.recognition import recognise, retrieval
from service.engine.fitting.report_texts import sentences

_LEAST_WITH_FINDING = 5
_RECOGNISED = 0.8


def measure(
    heads: Heads, sentence_encoder: SentenceEncoder, features: Tensor, items: Sequence[ProbeItem]
) -> StoredJson:
    """Held-out figures: retrieval between images and whole reports, and recognition of every finding by its name.

    features [N, F] of the items. Findings with fewer than five images with or without, or of a single patient, are left
    out; a finding counts as recognised when the lower end of its interval reaches 0.8.
    """
    images = heads.embed_features(features)
    groups = group_images(items)
    figures: StoredJson = {"images": len(items), "patients": groups.count}

    reports = sorted({item.text for item in items if item.text})
    if reports:
        own = [sentences(report) for report in reports]
        known_sentences = sorted({sentence for parts in own for sentence in parts})
        embedded = dict(zip(known_sentences, sentence_encoder(known_sentences), strict=True))
        per_report = [torch.stack([embedded[sentence] for sentence in parts]).mean(0) for parts in own]
        matches = torch.tensor([[item.text == report for report in reports] for item in items], device=images.device)
        some = matches.any(1)
        report_embeddings = heads.embed_sentences(torch.stack(per_report))
        figures["retrieval"] = {
            **retrieval(images[some], report_embeddings, matches[some]),
            "reports": len(reports),
        }

    known = [row for row, item in enumerate(items) if item.findings is not None]
    findings = sorted({finding for row in known for finding in items[row].findings or ()})
    figures_of_findings: dict[str, StoredJson] = {}
    recognised = 0
    if findings:
        scores = (images[known] @ heads.embed_sentences(sentence_encoder(findings)).T).cpu().numpy()
        groups_of_known = [groups.of_item[row] for row in known]
        for column, finding in enumerate(findings):
            labels = np.array([finding in (items[row].findings or ()) for row in known])
            if min(int(labels.sum()), int((~labels).sum())) < _LEAST_WITH_FINDING:
                continue

            recognition = recognise(scores[:, column], labels, groups_of_known)
            if recognition is not None:
                rounded = {key: round(value, 4) for key, value in asdict(recognition).items()}
                is_recognised = recognition.low >= _RECOGNISED
                figures_of_findings[finding] = {**rounded, "recognised": is_recognised}
                recognised += is_recognised

    figures["findings"] = figures_of_findings
    figures["recognised"] = recognised
    return figures
