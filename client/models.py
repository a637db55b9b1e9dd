"""The types of requests and answers. Made from docs/openapi.json by `python -m checks.client_models`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Unit: TypeAlias = int


AblationStatus: TypeAlias = Literal['queued', 'running', 'succeeded', 'failed', 'cancelled']


class AcceptanceOut(TypedDict):
    """
    Of named neurons drawn at random, how many all their readers accept; `low` to `high`: Wilson's 95 % interval.

    `error` is what the job itself estimates of the names it gave: 1 - `share` measures the same. `refused`: why there
    are no figures.
    """

    seed: int
    drawn: int
    judged: int
    accepted: int | None
    share: float | None
    low: float | None
    high: float | None
    error: float | None
    error_level: float | None
    refused: str | None


class AcknowledgementIn(TypedDict):
    """
    Who has seen the verdict, and what they do about it.
    """

    by: str
    reason: str


class AcknowledgementOut(TypedDict):
    """
    Who has seen the verdict.
    """

    by: str
    reason: str
    at: str


class ActivationOut(TypedDict):
    """
    Pooled activations of a neuron over the probe set.
    """

    mean: float
    std: float
    minimum: float
    maximum: float


class AgainstExchangedOut(TypedDict):
    """
    A figure; what it is with places of other exams, in the mean; p of as large a one by exchange.
    """

    value: float
    exchanged: float
    p: float


class AgreementOut(TypedDict):
    """
    How well the activation tells images with the finding that the label names, on images that did not name it.
    """

    finding: str
    auroc: float
    average_precision: float
    pearson: float


class AlertBriefOut(TypedDict):
    """
    An alert, and how many of its deliveries have each status. `id` is what receivers get as `webhook-id`.
    """

    id: str
    kind: str
    subject: str
    at: str
    deliveries: dict[DeliveryStatus, int]


AuditStatus: TypeAlias = Literal['running', 'judged', 'error', 'cancelled']


class AurocChangeOut(TypedDict):
    """
    How well an output tells images with the finding, before and after; `low` to `high` of the change, paired.
    """

    output: int
    finding: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None


class AutoencoderIn(TypedDict):
    """
    A sparse autoencoder on a layer of the target. Its latents are the units of the layer `<layer>.latents`.
    """

    layer: str
    checkpoint: str
    sha256: NotRequired[str | None]
    activation: NotRequired[Literal['relu', 'topk', 'jumprelu'] | None]
    k: NotRequired[int | None]
    pre_bias: NotRequired[bool | None]


class BaselineIn(TypedDict):
    """
    The job to compare audits with from now on. `audit`: take the job that this audit proposes.
    """

    job: NotRequired[str | None]
    audit: NotRequired[str | None]


class BoxOut(TypedDict):
    """
    A rectangle in the pixels of the decoded image.
    """

    left: int
    top: int
    width: int
    height: int


CatchUp: TypeAlias = Literal['none', 'latest', 'all']


class CategoryChange(TypedDict):
    """
    A category's neurons in the baseline, and the change: see `service.domain.comparisons.Change` (stored).
    """

    name: str
    before: int
    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None
    q: NotRequired[float | None]
    halves: NotRequired[float | None]


class CategoryCount(TypedDict):
    """
    How many neurons a category has.
    """

    category: str
    neurons: int


class ComparisonBriefOut(TypedDict):
    """
    A comparison's jobs in order, the first the reference.
    """

    id: str
    jobs: list[str]
    created_at: str


class ComparisonIn(TypedDict):
    """
    Succeeded jobs to compare; the first is the reference.
    """

    jobs: list[str]


ControlItem: TypeAlias = str


class CountedFindingOut(TypedDict):
    """
    A finding that is known to mean no concept.
    """

    finding: str
    images: int


Decision: TypeAlias = Literal['accept', 'reject', 'rename', 'comment']


class DecisionCountsOut(TypedDict):
    """
    Current reviews by what they decide.
    """

    accept: int
    reject: int
    rename: int
    comment: int


DeliveryStatus: TypeAlias = Literal['pending', 'delivered', 'failed', 'withdrawn']


class DirectionBriefOut(TypedDict):
    """
    What the dissector's embedding says of the activation, on held-out exams.

    `fit`: correlation with the best direction. `explained`: the share of the fit that the label's concept alone has.
    """

    fit: float
    explained: float


Draw: TypeAlias = Literal['strongest', 'random', 'unnamed', 'disputed']


class DrawnNeuronOut(TypedDict):
    """
    A neuron of a work list, with its place in the draw from 1; `concept` is its label.
    """

    place: int
    layer: str
    unit: int
    concept: str | None
    verdict: str | None
    z: float | None


Address: TypeAlias = str


class EmailIn(TypedDict):
    """
    Mail addresses to register. Each address gets its own message.
    """

    kind: Literal['email']
    name: str
    addresses: list[Address]
    events: NotRequired[list[str] | Literal['all']]


EndpointKind: TypeAlias = Literal['webhook', 'email']


class EndpointOut(TypedDict):
    """
    An alert endpoint. `pending`: deliveries that are waiting for it. `failed`: deliveries that the service gave up.

    `failing_since`: the first failed attempt since the last success. `held_until`: the service sends nothing before.
    """

    name: str
    kind: EndpointKind
    url: str | None
    addresses: list[str] | None
    events: list[str] | Literal['all']
    enabled: bool
    disabled_reason: str | None
    failing_since: str | None
    held_until: str | None
    previous_secret_until: str | None
    pending: int
    failed: int
    created_at: str


class EndpointPatchIn(TypedDict):
    """
    The changes. Fields that you leave out stay as they are.
    """

    url: NotRequired[str | None]
    addresses: NotRequired[list[Address] | None]
    events: NotRequired[list[str] | Literal['all'] | None]
    enabled: NotRequired[bool | None]
    reason: NotRequired[str | None]


class EndpointWithSecretOut(TypedDict):
    """
    An alert endpoint with the secret that signs its webhooks. Shown only once; null for e-mail.
    """

    name: str
    kind: EndpointKind
    url: str | None
    addresses: list[str] | None
    events: list[str] | Literal['all']
    enabled: bool
    disabled_reason: str | None
    failing_since: str | None
    held_until: str | None
    previous_secret_until: str | None
    pending: int
    failed: int
    created_at: str
    secret: str | None


class EvidenceIn(TypedDict):
    """
    How many random samples judge the labels. 0 draws: labels without evidence.
    """

    draws: NotRequired[int]
    resamples: NotRequired[int]
    halves: NotRequired[int]
    error_level: NotRequired[float | None]


Failure: TypeAlias = Literal['status', 'redirect', 'gone', 'timeout', 'name', 'forbidden-address', 'connection', 'tls', 'protocol', 'settings', 'mail-server', 'mail-deferred', 'mail-rejected', 'internal', 'lost']


class FindingCountOut(TypedDict):
    """
    A finding whose AUROCs are given, and the images that decide them.
    """

    finding: str
    positives: int
    negatives: int


class FindingsMapOut(TypedDict):
    """
    The map of findings that the probe set was registered with.
    """

    source: str
    digest: str
    notes: list[str]


FireOutcome: TypeAlias = Literal['started', 'skipped-overlap', 'queued', 'missed']


class Health(TypedDict):
    """
    The answer of a probe.
    """

    status: NotRequired[Literal['ok']]


class HeardOut(TypedDict):
    """
    The audits that the event has begun, which have ended in an error where it cannot be followed; none where no
    deployment follows the model, it is no news, an alias went to a version of which nothing is known yet, or a worker
    has to fetch the version's source first.
    """

    audits: list[str]


class HistoryPointOut(TypedDict):
    """
    One audit of a deployment in figures, for a time series; null where it has no such figure.
    """

    audit: str
    at: str
    trigger: Literal['schedule', 'request', 'version', 'registry']
    target: str
    candidate: bool
    status: AuditStatus
    verdict: Literal['pass', 'warn', 'fail'] | None
    significant_share: float | None
    watched_share: float | None
    stability: float | None
    divergence: float | None
    labels_changed: float | None


class IndependentUnitsOut(TypedDict):
    """
    What counts as independent: patients, exams or images, copies of a file together.
    """

    unit: str
    count: int
    largest: int


class InputIn(TypedDict):
    """
    How images reach a network. Of what is given in part, the rest comes from the configuration of its library.
    """

    height: NotRequired[int | None]
    width: NotRequired[int | None]
    channels: NotRequired[Literal[1, 3] | None]
    resize: NotRequired[Literal['area', 'bicubic', 'pad', 'none'] | None]
    pad_side: NotRequired[Literal['left', 'right', 'both'] | Literal['centre'] | None]
    crop_to_breast: NotRequired[bool | None]
    orientation: NotRequired[Literal['as_acquired', 'left', 'right'] | None]
    window: NotRequired[Literal['stored', 'voi'] | None]
    padding_as_air: NotRequired[bool | None]
    scale: NotRequired[Literal['min_max', 'unit', 'range'] | None]
    range_low: NotRequired[float | None]
    range_high: NotRequired[float | None]
    mean: NotRequired[float | list[float] | None]
    std: NotRequired[float | list[float] | None]


class InputValueOut(TypedDict):
    """
    A value of how images reach a network, and where it is from.
    """

    value: str | bool | int | float | list[float]
    origin: Literal['given', 'library', 'checkpoint', 'default']


Layer: TypeAlias = str


WhereItem: TypeAlias = str


JobStatus: TypeAlias = Literal['queued', 'running', 'succeeded', 'failed', 'cancelled', 'dead']


class JobVerdictsOut(TypedDict):
    """
    How verdicts were reached; `refused` says why there are none.

    `error_level` was asked for, `error` is what is estimated: of the names given, the share that is wrong.
    """

    error_level: float
    error: float | None
    least_explained: float
    decoys: int
    decoy_match: float
    refused: str | None


JsonValue: TypeAlias = Any


class LayerCountOut(TypedDict):
    """
    Neurons of a layer that count, and how many to expect by chance alone; of named ones, how many to be wrong.
    """

    layer: str
    neurons: int
    expected: float


class LayerInfoOut(TypedDict):
    """
    A layer that can be dissected. What an inspection by an earlier release has not noted is null.
    """

    name: str
    units: int
    kind: str
    shape: NotRequired[list[int] | None]
    multiply_adds: NotRequired[int | None]
    share: NotRequired[float | None]
    is_main: NotRequired[bool | None]
    ends_stage: NotRequired[bool | None]


class LayerUnitsOut(TypedDict):
    """
    Units of a layer that are held; `dead` ones do the same for every image, so that nothing changes.
    """

    layer: str
    units: list[int]
    dead: list[int]


class LeftOutOut(TypedDict):
    """
    Dissections that a search passes over.
    """

    without_directions: int
    of_other_dissectors: int
    jobs: list[str]


class ListedOut(TypedDict):
    """
    Entries of a weights file: how many, and the first names.
    """

    count: int
    names: list[str]


Finding: TypeAlias = str


class LocalisationIn(TypedDict):
    """
    That maps of labelled neurons are held against the places of findings.
    """

    findings: NotRequired[list[Finding]]


class LocalisationOut(TypedDict):
    """
    Where the neuron is active, against where a finding is, see docs/where.md; `why_not` where there are no figures.

    `from_label`: the label means the finding; otherwise the job gave it. `cells`: height and width of the map.
    """

    finding: str
    from_label: bool
    images: int
    exams: int
    cells: tuple[int, int] | None
    pointing: AgainstExchangedOut | None
    iou: AgainstExchangedOut | None
    quantiles: list[float]
    auroc: AgainstExchangedOut | None
    why_not: Literal['no-places', 'no-map', 'one-exam', 'left-out'] | None


class MappedFindingOut(TypedDict):
    """
    An entry of the map whose concept the set has not.
    """

    finding: str
    concept: str


class MatchedFindingOut(TypedDict):
    """
    A finding that means concepts of the set.
    """

    finding: str
    images: int
    concepts: list[str]
    matched_by: Literal['map', 'same', 'look-alike characters', 'punctuation', 'plural', 'word order']


class Measured(TypedDict):
    """
    A difference that cannot be negative, beside its noise floor (stored).
    """

    value: float | None
    noise: float | None
    exceeds_noise: bool | None
    halves: NotRequired[float | None]


class MeasuredOut(TypedDict):
    """
    A difference beside its noise floor: the 95th percentile of the same between two draws of the exams.

    `halves`: the same between two halves of the exams, which says how well the figure reproduces.
    """

    value: float | None
    noise: float | None
    exceeds_noise: bool | None
    halves: float | None


class MissingConceptOut(TypedDict):
    """
    An essential concept without a neuron; `category_neurons` stand for others of its category.
    """

    text: str
    reason: Literal['absent from the probe set', 'unmatched findings may mean it', 'untestable', 'not represented', 'not known', 'not in the concept set']
    findings: list[str]
    category: str | None
    category_neurons: int


class NamePartOut(TypedDict):
    """
    A concept of a name, and the share that it adds.
    """

    text: str
    share: float


class NamedRowOut(TypedDict):
    """
    An image that is named for a reason, by its row of the manifest.
    """

    row: int
    why: str
    remedy: NotRequired[str | None]


class NamedThingOut(TypedDict):
    """
    Something whose name holds what was searched for; `link` is the path of the API's answer on it.
    """

    kind: str
    name: str
    detail: str
    link: str


class NamedThingsOut(TypedDict):
    """
    What has the words in its name, a few of each kind: those that begin with them first.
    """

    q: str
    models: list[NamedThingOut]
    jobs: list[NamedThingOut]
    concepts: list[NamedThingOut]
    categories: list[NamedThingOut]
    neurons: list[NamedThingOut]


class NeighbourOut(TypedDict):
    """
    A unit that follows much the same: its direction in the dissector's space is like the other's.
    """

    layer: str
    unit: int
    cosine: float
    concept: str | None


class NeighboursOut(TypedDict):
    """
    The units most like a neuron, most like it first; none for one that is dead.
    """

    job: str
    layer: str
    unit: int
    items: list[NeighbourOut]


class OutcomeOut(TypedDict):
    """
    The outcome of one rule, or of one rule in one value of a stratum.
    """

    rule: str
    kind: str
    stratum: str | None
    outcome: Literal['pass', 'warn', 'fail', 'not-testable']
    reason: str
    figures: dict[str, Any]


class OutputChangeOut(TypedDict):
    """
    How an output changes, in its own deviations (`std`) over the probe set: with sign and without.

    `low` to `high`: 95 % intervals by resampling whole exams. Null for an output that is the same for every image, and
    where there are too few exams.
    """

    output: int
    std: float
    change: float | None
    low: float | None
    high: float | None
    absolute: float | None
    absolute_low: float | None
    absolute_high: float | None


Overlap: TypeAlias = Literal['skip', 'queue', 'cancel_old']


class OverrideIn(TypedDict):
    """
    Use parts of a job for a purpose that their terms do not allow.
    """

    reason: str


class OverrideOut(TypedDict):
    """
    Somebody used parts for a purpose that they do not allow: why, and which (none where all allow it).
    """

    reason: str
    parts: list[str]


class PageOutAlertBriefOut(TypedDict):
    items: list[AlertBriefOut]
    next: str | None


class PageOutComparisonBriefOut(TypedDict):
    items: list[ComparisonBriefOut]
    next: str | None


class PageOutEndpointOut(TypedDict):
    items: list[EndpointOut]
    next: str | None


class PageOutHistoryPointOut(TypedDict):
    items: list[HistoryPointOut]
    next: str | None


class PairAgreementOut(TypedDict):
    """
    Cohen's kappa of two readers, on what each decided before they saw the other's review.

    `low` to `high`: 95 % interval, by the variance of Fleiss, Cohen and Everitt (1969). `refused`: why there are no
    figures.
    """

    readers: tuple[str, str]
    neurons: int
    observed: float | None
    expected: float | None
    kappa: float | None
    low: float | None
    high: float | None
    refused: str | None


class PartOut(TypedDict):
    """
    The part of a probe set that a job uses: of which set, and by which values its images were chosen.

    `strata`: the request for several parts that it was in, see GET /jobs/strata/{id}; null for a single one.
    """

    probe_set: str
    where: dict[str, list[str]]
    strata: str | None


class PatchesIn(TypedDict):
    """
    Cut every image into square patches, in pixels of the decoded image.
    """

    size: int
    stride: int


class PictureAwaitedOut(TypedDict):
    """
    A picture that a worker is to draw.
    """

    job: str
    row: int
    state: Literal['waiting', 'drawing']
    retry_after_s: int


PictureSize: TypeAlias = Literal['thumbnail', 'medium', 'large']


class PlaceOut(TypedDict):
    """
    Where the manifest says that a finding is: left, top, width, height as fractions of what the network saw.
    """

    finding: str
    region: tuple[float, float, float, float]


class PolicyIn(TypedDict):
    """
    A policy to register: as JSON, or as a string of YAML.
    """

    name: str
    policy: dict[str, JsonValue] | str


class PolicyOut(TypedDict):
    """
    One version of a policy; `spec` is the policy. Lists count its rules.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]


class PromptsIn(TypedDict):
    """
    How the names of concepts become the texts that the dissector reads. Their embeddings are averaged.
    """

    templates: NotRequired[list[str]]
    synonyms: NotRequired[bool]
    subtract_empty: NotRequired[bool]


class PseudonymsIn(TypedDict):
    """
    Replace identifiers of patients, exams and images by keyed hashes (HMAC-SHA256).
    """

    key_file: str


Purpose: TypeAlias = Literal['clinical', 'research']


class QualityOut(TypedDict):
    """
    How the unit represents, whatever its name (SemanticLens).
    """

    clarity: float
    polysemanticity: float
    redundancy: float | None
    duplicate_of: int | None


class RankedConceptOut(TypedDict):
    """
    A concept and its score for a neuron.
    """

    concept: str
    score: float


class ReadingOut(TypedDict):
    """
    Which weights of its file a target has, and how they were brought into its network.
    """

    entry: str
    chosen: Literal['only', 'default', 'given']
    sets: list[str]
    same: NotRequired[list[str] | None]
    prefix: str
    renamed: ListedOut
    filled_in: ListedOut
    left_out: ListedOut
    unused: ListedOut
    channels: Literal[1, 3]


class ReasonOut(TypedDict):
    """
    Why images are named, how many there are, and the first of them.
    """

    reason: str
    count: int
    rows: list[NamedRowOut]


class RecomputedOut(TypedDict):
    """
    The verdict computed again from the stored facts. `same`: it, all outcomes and their figures match the record.
    """

    verdict: Literal['pass', 'warn', 'fail']
    outcomes: list[OutcomeOut]
    same: bool


class RedeliveryIn(TypedDict):
    """
    Who gets the alert. Left out: everyone whom the alert was for.
    """

    endpoint: NotRequired[str | None]


class RemarkOut(TypedDict):
    """
    A weakness of one concept, or of several together, and the words or characters that it rests on.
    """

    weakness: Literal['negation', 'laterality', 'time', 'uncertainty', 'look-alike characters', 'near duplicate', 'two categories', 'cut text']
    concepts: list[str]
    because: list[str]
    detail: str


class RenamingOut(TypedDict):
    """
    A concept that went and one that came, which may be the same: by a synonym, or by a way of spelling.
    """

    before: str
    after: str
    alike: str


ResourceState: TypeAlias = Literal['checking', 'ready', 'refused']


class ResponseOut(TypedDict):
    """
    One neuron's response to a watched concept.
    """

    layer: str
    unit: int
    p: float
    z: float
    q: float


class ReviewIn(TypedDict):
    """
    What a reader says of a neuron's label. The reader is whoever the key belongs to.
    """

    layer: str
    unit: int
    decision: Decision
    name: NotRequired[str | None]
    reason: str
    reader: NotRequired[str | None]
    version: NotRequired[int | None]


class ReviewOut(TypedDict):
    """
    What a reader said of a neuron. `version` counts their reviews of it; the highest is the current one.

    `name_in_set`: whether the name is a concept of the job's set. `blind`: given without seeing another's review.
    """

    id: str
    job: str
    layer: str
    unit: int
    reader: str
    version: int
    decision: Decision
    name: str | None
    name_in_set: bool | None
    reason: str
    blind: bool
    created_at: str


class RotationIn(TypedDict):
    """
    For how long webhooks are also signed with the old secret.
    """

    overlap_hours: NotRequired[float]


class ScheduleChangesIn(TypedDict):
    """
    The changes. Fields that you leave out stay as they are.
    """

    cron: NotRequired[str | None]
    zone: NotRequired[str | None]
    catch_up: NotRequired[CatchUp | None]
    catch_up_max: NotRequired[int | None]
    grace_s: NotRequired[int | None]
    overlap: NotRequired[Overlap | None]


class ScheduleIn(TypedDict):
    """
    A schedule to create.
    """

    name: str
    deployment: str
    cron: str
    zone: NotRequired[str]
    catch_up: NotRequired[CatchUp]
    catch_up_max: NotRequired[int | None]
    grace_s: NotRequired[int | None]
    overlap: NotRequired[Overlap]


class ScheduleOut(TypedDict):
    """
    A schedule. `notice` says why it does not fire although it should.
    """

    id: str
    name: str
    deployment: str
    cron: str
    zone: str
    catch_up: CatchUp
    catch_up_max: int | None
    grace_s: int | None
    overlap: Overlap
    paused: bool
    next_fire_at: str | None
    looked_at: str
    notice: str | None
    created_at: str


class SignatureOut(TypedDict):
    """
    A detached signature of a report's JSON. Keep the file as it is: it is verified byte for byte.
    """

    algorithm: str
    key_id: str
    sha256: str
    signature: str


class SignificanceOut(TypedDict):
    """
    The best score against random image sets; q after false-discovery control over the job.
    """

    p: float
    z: float
    q: float | None


class SigningKeyOut(TypedDict):
    """
    A public key. Get it once over a channel that you trust, keep it, and verify with that copy.
    """

    algorithm: NotRequired[Literal['Ed25519']]
    key_id: str
    public_key: str


class SnoozeIn(TypedDict):
    """
    Until when the service sends no alerts.
    """

    until: str
    by: str
    reason: str


class SnoozeOut(TypedDict):
    """
    Until when alerts are silenced, and by whom.
    """

    until: str
    by: str
    reason: str


class StabilityBriefOut(TypedDict):
    """
    Share of resamples of the exams that keep the label and its category.
    """

    label: float
    category: float | None


class StabilityOut(TypedDict):
    """
    The same; 90 % of the resamples are in the prediction set.
    """

    label: float
    category: float | None
    prediction_set: list[str]


Stage: TypeAlias = Literal['load', 'probe', 'score', 'store']


class StageOut(TypedDict):
    """
    Progress of one stage, in images, layers or results; `rate` per second, and when it will end at that rate.
    """

    stage: Stage
    done: int
    total: int
    items: int
    items_done: int
    started_at: str | None
    updated_at: str | None
    rate: float | None
    expected_end: str | None


Standing: TypeAlias = Literal['accepted', 'rejected', 'renamed', 'disputed']


class StandingCountsOut(TypedDict):
    """
    Neurons by what their readers say together.
    """

    accepted: int
    rejected: int
    renamed: int
    disputed: int


Stratum: TypeAlias = str


class StratumOut(TypedDict):
    """
    The dissection of the exams with one value of a stratum, or why there is none.
    """

    stratum: str
    value: str
    exams: int
    job: str | None
    reason: str | None


class TermsOut(TypedDict):
    """
    What is stated of a registered thing; `allowed_purposes_from` is `default` where nobody stated any.
    """

    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']


class TopImageOut(TypedDict):
    """
    A probe image that excites the neuron; `box` where it is a patch of an image, `frame` where of several frames.

    `region`: the part that drives the activation (left, top, width, height as fractions), where it was looked for.
    """

    image_id: str
    row: int
    activation: float
    box: BoxOut | None
    region: tuple[float, float, float, float] | None
    frame: int | None
    places: list[PlaceOut]


class UnitDependence(TypedDict):
    """
    How much the outputs depend on one neuron that responds to watched concepts (stored).
    """

    layer: str
    unit: int
    concepts: list[str]
    output: int | None
    absolute: float | None
    low: float | None


class UnmatchedFindingOut(TypedDict):
    """
    A finding of which nobody knows what it means.
    """

    finding: str
    images: int
    why: Literal['names no concept', 'could be several concepts', 'mapped to no concept of the set']
    concepts: list[str]


class UpcomingOut(TypedDict):
    """
    A future fire, and its local time in the schedule's zone.
    """

    fire_time: str
    local_time: str


class ValueCountOut(TypedDict):
    """
    A value, and how many images have it.
    """

    value: str
    images: int


Verdict: TypeAlias = Literal['named', 'unverified', 'unnamed', 'no-signal']


class VerdictCounts(TypedDict):
    """
    How many units have which verdict (stored).
    """

    named: NotRequired[int]
    unverified: NotRequired[int]
    unnamed: NotRequired[int]
    no_signal: NotRequired[int]


class VerdictCountsOut(TypedDict):
    """
    How many live neurons have which verdict.
    """

    named: int
    unverified: int
    unnamed: int
    no_signal: int


class WaitsForOut(TypedDict):
    """
    What a queued job waits for: the check of its probe set's images, and how many of these are done.
    """

    what: Literal['check']
    path: str
    done: int
    total: int


class WatchedBriefOut(TypedDict):
    """
    A watched concept that the neuron may respond to; `q` over all neurons and watched concepts of the job.
    """

    text: str
    z: float
    q: float | None


class WatchedConceptOut(TypedDict):
    """
    A watched concept, how many neurons and what share of the live ones respond to it, and the strongest of them.
    """

    text: str
    category: str | None
    responding: int
    share: float
    neurons: list[ResponseOut]


class WatchedOut(TypedDict):
    """
    The same with its p, and the correlation of activation and concept given the label's (`partial`).

    `partial` is null where activations were not kept.
    """

    text: str
    z: float
    q: float | None
    p: float
    partial: float | None
    partial_p: float | None


class WebhookIn(TypedDict):
    """
    A webhook to register.
    """

    kind: Literal['webhook']
    name: str
    url: str
    events: NotRequired[list[str] | Literal['all']]


class WorkListOut(TypedDict):
    """
    Neurons to review. `drawn` of a `population` were drawn; of those the caller has reviewed `reviewed`.

    The draw is the same for the same seed, whatever was reviewed meanwhile; `disputed` alone follows reviews.
    """

    job: str
    draw: Draw
    how: str
    seed: int
    count: int
    population: int
    drawn: int
    reviewed: int
    items: list[DrawnNeuronOut]


class ApiSchemasComparisonsChangeOut(TypedDict):
    """
    A category's neurons more (or fewer) than in the reference, scaled to the reference's number of units.

    `low` to `high`: interval of 95 % over resampled exams and the units that differ; `noise`: half of it. `q`: p after
    false-discovery control. `exceeds_noise`: q is at most 0.05, and 0 outside the interval. `halves`: by how many
    neurons halves of the exams differ within one network. Null where not computed.
    """

    gain: float
    low: float | None
    high: float | None
    noise: float | None
    exceeds_noise: bool | None
    test: Literal['resampled', 'mcnemar', 'fisher']
    p: float
    q: float
    halves: float | None


class ApiSchemasConceptSetsChangeOut(TypedDict):
    """
    A field of a concept of both sets that differs.
    """

    text: str
    field: str
    before: Any
    after: Any


class Problem(TypedDict):
    """
    An RFC 9457 problem: what went wrong, with which input, and what to do about it.
    """

    type: str
    title: str
    status: int
    detail: str
    field: NotRequired[str | None]
    value: NotRequired[str | None]
    remedy: NotRequired[str | None]
    errors: NotRequired[list[dict[str, str]] | None]


class AblationBriefOut(TypedDict):
    """
    An ablation without its units and result.
    """

    id: str
    job: str
    status: AblationStatus
    held: int
    value: Literal['mean', 'zero']
    each: bool
    created_at: str
    finished_at: str | None


class AblationIn(TypedDict):
    """
    Units to hold at one value. Give one of `units`, `concept`, `verdict` and `watched`.
    """

    layer: NotRequired[str | None]
    units: NotRequired[list[Unit] | None]
    concept: NotRequired[str | None]
    verdict: NotRequired[Verdict | None]
    watched: NotRequired[bool]
    value: NotRequired[Literal['mean', 'zero']]
    each: NotRequired[bool]


class AttemptOut(TypedDict):
    """
    One attempt. `status`: the code of HTTP or the mail server. A running attempt has no duration and no failure.
    """

    number: int
    at: str
    duration_s: float | None
    status: int | None
    failure: Failure | None
    detail: str | None


class AuditBriefOut(TypedDict):
    """
    An audit without its evidence. `proposal`: there was no baseline, so you can pin the audit's job as one.
    """

    id: str
    deployment: str
    trigger: Literal['schedule', 'request', 'version', 'registry']
    schedule: str | None
    fire_time: str | None
    target: str
    candidate: bool
    policy: str
    baseline: str | None
    proposal: bool
    job: str | None
    status: AuditStatus
    verdict: Literal['pass', 'warn', 'fail'] | None
    problem: dict[str, Any] | None
    acknowledgement: AcknowledgementOut | None
    created_at: str
    finished_at: str | None
    outcomes: list[OutcomeOut] | None


class AuditListedOut(TypedDict):
    """
    An audit in a list. `proposal`: there was no baseline, so you can pin the audit's job as one.

    `outcomes`: how many rules had each outcome, over all strata. GET /audits/{id} gives each outcome with its reason.
    """

    id: str
    deployment: str
    trigger: Literal['schedule', 'request', 'version', 'registry']
    schedule: str | None
    fire_time: str | None
    target: str
    candidate: bool
    policy: str
    baseline: str | None
    proposal: bool
    job: str | None
    status: AuditStatus
    verdict: Literal['pass', 'warn', 'fail'] | None
    problem: dict[str, Any] | None
    acknowledgement: AcknowledgementOut | None
    created_at: str
    finished_at: str | None
    outcomes: dict[Literal['pass', 'warn', 'fail', 'not-testable'], int] | None


class AutoencoderOut(TypedDict):
    """
    How the file of a target's autoencoder was read.
    """

    layer: str
    latents: int
    width: int
    layout: str
    sha256: str
    described_by: str | None
    activation: Literal['relu', 'topk', 'jumprelu']
    k: int | None
    pre_bias: str | None
    normalisation: Literal['none', 'layer_norm', 'constant_norm_rescale']
    scaled: bool
    unused: ListedOut
    warnings: list[str]


class CategoryCoverageOut(TypedDict):
    """
    A category; `share` of its concepts are represented by a neuron that counts.

    `low` to `high`: interval of 95 % of `neurons` over resampled exams; null where nothing was resampled.
    """

    name: str
    concepts: int
    represented: int
    share: float
    neurons: int
    expected: float
    low: float | None
    high: float | None
    layers: list[LayerCountOut]


class CategoryRowOut(TypedDict):
    """
    A category: labelled neurons in each network, and the change in each but the reference.
    """

    name: str
    neurons: list[int]
    changes: list[ApiSchemasComparisonsChangeOut]


class CheckpointIn(TypedDict):
    """
    A weights file and the architecture it belongs to.
    """

    licence: NotRequired[str | None]
    allowed_purposes: NotRequired[list[Purpose] | None]
    checkpoint: str
    architecture: str
    sha256: NotRequired[str | None]
    input: NotRequired[InputIn | None]
    weights: NotRequired[str | None]
    autoencoder: NotRequired[AutoencoderIn | None]


class ChurnOut(TypedDict):
    """
    Units labelled in both networks, and the share of them whose label or category differs.

    `semantic`: mean over them of 1 - cosine of the dissector's text embeddings of the two labels; null where the
    embeddings were not kept.
    """

    both: int
    vanished: int
    appeared: int
    label: MeasuredOut
    category: MeasuredOut
    semantic: MeasuredOut


class CompositionOut(TypedDict):
    """
    Neurons by category; Jensen-Shannon divergence (bits) from the reference of each other network.
    """

    rows: list[CategoryRowOut]
    divergence: list[MeasuredOut]


class ConceptCoverageOut(TypedDict):
    """
    A concept's neurons that count; layers without any, observed or expected, are left out.

    `low` to `high`: interval of 95 % of `neurons` over resampled exams; null where nothing was resampled.
    """

    text: str
    category: str | None
    broad_category: str | None
    neurons: int
    expected: float
    low: float | None
    high: float | None
    layers: list[LayerCountOut]


class ConceptSetDiffOut(TypedDict):
    """
    What happened from one concept set to another. What may be renamed is in `added` and `removed`, too.
    """

    before: str
    after: str
    added: list[str]
    removed: list[str]
    renamed: list[RenamingOut]
    changed: list[ApiSchemasConceptSetsChangeOut]
    moved: int
    same: int


class ConceptSetIn(TypedDict):
    """
    Concepts, listed here or in a file, and a table of their categories where that lies in a file of its own.

    A concept is a plain text, or an object with text, category, broad_category, mammographic, watched, synonyms, codes
    (by vocabulary, as `{"radlex": "RID34261"}`) and names (by language, as `{"de": "Verkalkung"}`).
    """

    licence: NotRequired[str | None]
    allowed_purposes: NotRequired[list[Purpose] | None]
    name: str
    concepts: NotRequired[list[str | dict[str, Any]] | None]
    path: NotRequired[str | None]
    categories: NotRequired[str | None]
    control: NotRequired[list[ControlItem]]
    dissector: NotRequired[str | None]


class ConceptSetOut(TypedDict):
    """
    A concept set, and what is weak about it. Remarks are not errors; the first 1,000 are listed, all are counted.

    `dissector_note` says how the dissector that was named has read the texts, or why it has not; `state` is `checking`
    until it has, `ready` then, `refused` where it cannot, and null where none was named.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]
    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']
    replaced_terms: NotRequired[TermsOut | None]
    remarks: list[RemarkOut]
    remarks_by_weakness: dict[str, int]
    dissector_note: NotRequired[str | None]
    state: NotRequired[ResourceState | None]


class CountedValuesOut(TypedDict):
    """
    What images have of one thing; the most frequent values are counted one by one.
    """

    distinct: int
    without: int
    values: list[ValueCountOut]


class CoverageOut(TypedDict):
    """
    What the neurons stand for. If significance was not tested, `refused` says why.

    `counted`: the neurons that represent something, `named` ones where the job has verdicts, else `significant` ones.
    `named` is null where it has none.
    """

    job: str
    refused: str | None
    units: int
    tested: int
    significant: int
    counted: Literal['named', 'significant']
    named: int | None
    must_have: int
    missing: list[MissingConceptOut]
    categories: list[CategoryCoverageOut]
    broad_categories: list[CategoryCoverageOut]
    uncategorised: int
    concepts: list[ConceptCoverageOut]


class DeliveryOut(TypedDict):
    """
    An alert on its way to an endpoint. `attempts`: all attempts since the delivery was last requested.

    `next_attempt_at`: null when the delivery has ended. Withdrawn: the endpoint or address was removed first.
    """

    endpoint: str
    address: str | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: str | None
    ended_at: str | None
    log: list[AttemptOut]


class DependenceFacts(TypedDict):
    """
    How much the outputs depend on neurons that respond to watched concepts (stored).
    """

    ablation: str | None
    refused: str | None
    units: NotRequired[list[UnitDependence]]
    left_out: NotRequired[int]


class DependenceOut(TypedDict):
    """
    How much the outputs depend on a unit, by an ablation of it alone: the output that changes most.

    `change` is null where no output varies over the probe set.
    """

    ablation: str
    value: Literal['mean', 'zero']
    change: OutputChangeOut | None


class DeploymentBriefOut(TypedDict):
    """
    A deployed model and how it is audited. Its layers are in GET /deployments/{name}.
    """

    purpose: Purpose | None
    purpose_from: Literal['request', 'default'] | None
    override_purpose: OverrideOut | None
    id: str
    name: str
    target: str
    target_digest: str
    dissector: str
    probe_set: str
    concept_set: str
    method: dict[str, Any]
    policy: str
    baseline: str | None
    registered_model: str | None
    alert_budget: int | None
    snooze: SnoozeOut | None
    created_at: str


class DeploymentChangeIn(TypedDict):
    """
    The changes. Fields that you leave out stay as they are.
    """

    policy: NotRequired[str | None]
    registered_model: NotRequired[str | None]
    alert_budget: NotRequired[int | None]
    purpose: NotRequired[Purpose | None]
    override_purpose: NotRequired[OverrideIn | None]


class DeploymentOut(TypedDict):
    """
    A deployed model and how it is audited. `layers`: null for all.
    """

    purpose: Purpose | None
    purpose_from: Literal['request', 'default'] | None
    override_purpose: OverrideOut | None
    id: str
    name: str
    target: str
    target_digest: str
    dissector: str
    probe_set: str
    concept_set: str
    method: dict[str, Any]
    policy: str
    baseline: str | None
    registered_model: str | None
    alert_budget: int | None
    snooze: SnoozeOut | None
    created_at: str
    layers: list[str] | None


class DirectionOut(TypedDict):
    """
    The same with the concepts that the label's concept does not beat, and the parts of a combination.

    `correlation`: with the label's concept alone. `decoy_explained`: the share that the best decoy has. `decoy_p`: of a
    concept as far ahead of the decoys where no concept says what the unit follows. `rival_p`: that another concept is
    the better name.
    """

    fit: float
    explained: float
    fit_p: float
    correlation: float
    decoy_explained: float
    decoy_p: float
    rival_p: float
    rivals: list[str]
    parts: list[NamePartOut]


class DissectorIn(TypedDict):
    """
    A dissector directory to register.
    """

    licence: NotRequired[str | None]
    allowed_purposes: NotRequired[list[Purpose] | None]
    name: str
    path: str
    prompts: NotRequired[PromptsIn | None]


class DissectorOut(TypedDict):
    """
    A dissector; `problem` says why a worker refused it, `notes` what one that opened it concluded or decided.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]
    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']
    replaced_terms: NotRequired[TermsOut | None]
    state: NotRequired[ResourceState | None]
    problem: NotRequired[dict[str, str] | None]
    notes: NotRequired[list[str] | None]


class Drift(TypedDict):
    """
    How far a network has moved from the baseline, over all layers that both have (stored).
    """

    comparison: str
    categories: list[CategoryChange]
    divergence: Measured
    labels: Measured | None
    unpaired: int
    unshared: list[str]


class EffectOut(TypedDict):
    """
    What becomes of the outputs. `same`: every output of every image stays the same bit by bit.
    """

    outputs: list[OutputChangeOut]
    aurocs: list[AurocChangeOut]
    same: bool


class EvidenceBriefOut(TypedDict):
    """
    What speaks for a neuron's label, in figures; a part that could not be had is null.

    `watched`: in lists at most the three strongest responses.
    """

    significance: SignificanceOut | None
    stability: StabilityBriefOut | None
    agreement: AgreementOut | None
    quality: QualityOut | None
    direction: DirectionBriefOut | None
    watched: list[WatchedBriefOut]


class EvidenceOut(TypedDict):
    """
    The same with its prediction set, rivals and parts, and all watched concepts that the neuron may respond to.
    """

    significance: SignificanceOut | None
    stability: StabilityOut | None
    agreement: AgreementOut | None
    quality: QualityOut | None
    direction: DirectionOut | None
    watched: list[WatchedOut]
    localisations: list[LocalisationOut]


class FindingsOut(TypedDict):
    """
    What the findings of a probe set mean in a concept set; of each kind the 200 commonest are named.
    """

    concept_set: str
    map: FindingsMapOut | None
    names: int
    matched: list[MatchedFindingOut]
    matched_names: int
    unmatched: list[UnmatchedFindingOut]
    unmatched_names: int
    no_concept: list[CountedFindingOut]
    no_concept_names: int
    not_in_set: list[MappedFindingOut]
    not_in_set_entries: int


class FireOut(TypedDict):
    """
    A fire's outcome, and why it did not start or is still waiting. `manual`: a person requested it.
    """

    fire_time: str
    outcome: FireOutcome
    audit_id: str | None
    reason: str | None
    manual: bool
    decided_at: str


class JobBriefOut(TypedDict):
    """
    A job's present state. GET /jobs/{id} has its layers and what produced its result.

    `part` is null for a job on a whole probe set; otherwise `probe_set` is the part itself.
    """

    purpose: Purpose | None
    purpose_from: Literal['request', 'default'] | None
    override_purpose: OverrideOut | None
    id: str
    status: JobStatus
    replay_of: str | None
    target: str
    concept_set: str
    probe_set: str
    part: PartOut | None
    dissector: str
    method: dict[str, Any]
    concepts_per_neuron: int
    images_per_neuron: int
    evidence: EvidenceIn
    shuffled: int | None
    localisation: LocalisationIn | None
    batch_size: int
    shard_size: int
    queue: str
    priority: int
    progress: list[StageOut]
    problem: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class JobOut(TypedDict):
    """
    A job with its layers, what was stated of its parts when it was accepted, and what produced its result.

    `layers_asked`: the names and patterns that `layers` came from. `waits_for`: null where it waits for nothing but its
    turn. `error_level`: the share of wrong names that its verdicts may have; null where it asked for no evidence.
    """

    purpose: Purpose | None
    purpose_from: Literal['request', 'default'] | None
    override_purpose: OverrideOut | None
    id: str
    status: JobStatus
    replay_of: str | None
    target: str
    concept_set: str
    probe_set: str
    part: PartOut | None
    dissector: str
    method: dict[str, Any]
    concepts_per_neuron: int
    images_per_neuron: int
    evidence: EvidenceIn
    shuffled: int | None
    localisation: LocalisationIn | None
    batch_size: int
    shard_size: int
    queue: str
    priority: int
    progress: list[StageOut]
    problem: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    layers: list[str] | Literal['all']
    layers_asked: list[str]
    terms: dict[str, TermsOut] | None
    manifest: dict[str, Any] | None
    waits_for: WaitsForOut | None
    error_level: float | None


class LayerOut(TypedDict):
    """
    A dissected layer; mean_top_score is the paper's local threshold, threshold_met counts who reaches it.

    `significant` counts neurons with a significant label, and is null where nothing was inferred. `verdicts` is null
    where the job has none; `error` is the estimated share of wrong names among those of the layer.
    """

    layer: str
    units: int
    dead_units: int
    mean_top_score: float | None
    threshold_met: int
    top_categories: list[CategoryCount]
    significant: int | None
    verdicts: VerdictCountsOut | None
    error: float | None


class LayersOut(TypedDict):
    """
    The layers of one dissection, in the order of the dissection.

    `verdicts` of all layers together; `judged_by` is null for results of releases without verdicts, and where no
    evidence was asked for.
    """

    job: str
    items: list[LayerOut]
    verdicts: VerdictCountsOut | None
    judged_by: JobVerdictsOut | None


class MethodIn(TypedDict):
    """
    Similarity function and its parameters. Parameters that you leave out take the function's default.
    """

    similarity: NotRequired[Literal['soft_wpmi', 'wpmi', 'rank_reorder', 'cosine', 'cosine_cubed', 'correlation', 'contrast', 'contrast_scan']]
    pooling: NotRequired[Literal['avg', 'max']]
    top_k: NotRequired[int | None]
    temperature: NotRequired[float | None]
    lam: NotRequired[float | None]
    prompts: NotRequired[PromptsIn | None]


class ModelIn(TypedDict):
    """
    A target to register.
    """

    licence: NotRequired[str | None]
    allowed_purposes: NotRequired[list[Purpose] | None]
    checkpoint: str
    architecture: str
    sha256: NotRequired[str | None]
    input: NotRequired[InputIn | None]
    weights: NotRequired[str | None]
    autoencoder: NotRequired[AutoencoderIn | None]
    name: str


class ModelOut(TypedDict):
    """
    A target; `layers` and `input` are null until a worker has opened it, `problem` says why it could not.

    `input` has every field of how images reach it. Models that an earlier release opened have none until they are
    inspected again. `warnings` says what of it was not given and may be wrong.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]
    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']
    replaced_terms: NotRequired[TermsOut | None]
    state: NotRequired[ResourceState | None]
    input: NotRequired[dict[str, InputValueOut] | None]
    warnings: NotRequired[list[str]]
    layers: NotRequired[list[LayerInfoOut] | None]
    problem: NotRequired[dict[str, str] | None]
    reading: NotRequired[ReadingOut | None]
    autoencoder: NotRequired[AutoencoderOut | None]


class NetworkFacts(TypedDict):
    """
    A dissection in figures (stored).
    """

    refused: str | None
    units: int
    live: int
    significant: int
    stability: float | None
    concepts: NotRequired[dict[str, int]]
    categories: NotRequired[dict[str, int]]
    unseen: NotRequired[dict[str, str]]
    responses: NotRequired[list[list[str]]]
    halves: NotRequired[int]
    watched_halves: NotRequired[dict[str, list[tuple[int, int]]]]
    verdicts: NotRequired[VerdictCounts | None]
    no_verdicts: NotRequired[str | None]
    watched: NotRequired[list[str] | None]
    resamples: NotRequired[int]
    watched_resamples: NotRequired[dict[str, list[int]]]


class NeuronBriefOut(TypedDict):
    """
    A neuron and its label, `no concept` where that is not significant. A dead neuron has no label.

    `significant` is null where nothing was inferred; `score` is that of the best concept, whatever its significance.
    `verdict` says what the label is worth, and is null for a dead neuron and in a job without verdicts; `name` is what
    the neuron may be called, at the `level` of detail that the evidence carries, and `error` the estimated share of
    wrong names among those that are at least as sure. Ranked concepts, top images, activation, prediction set, rivals,
    all watched concepts and reviews are in GET /neurons/{layer}/{unit}.
    """

    job: str
    layer: str
    unit: int
    dead: bool
    concept: str | None
    category: str | None
    broad_category: str | None
    score: float | None
    significant: bool | None
    verdict: Verdict | None
    name: str | None
    level: Literal['concept', 'category', 'combination'] | None
    error: float | None
    review: Standing | None
    evidence: EvidenceBriefOut | None


class NeuronHitOut(TypedDict):
    """
    A neuron near to what was searched by; `cosine` between its direction and that, in the dissector's space.

    `concept` is the label, `no concept` where that is not significant; `name` is what the neuron may be called.
    """

    job: str
    model: str
    layer: str
    unit: int
    concept: str | None
    name: str | None
    verdict: Verdict | None
    category: str | None
    broad_category: str | None
    z: float | None
    score: float | None
    cosine: float
    link: str


class NeuronReviewsOut(TypedDict):
    """
    The current reviews of a neuron that the caller may see: others' only once the caller has judged it.

    `reviewed_name`: what the readers call it, where all who judge it agree; null where they reject it or differ.
    """

    own: ReviewOut | None
    others: list[ReviewOut]
    reviewers: list[str]
    reviewed_name: str | None


class NeuronSearchOut(TypedDict):
    """
    One page of the neurons nearest to what was searched by; `next` is the cursor of the following page.

    `exact`: all neurons were compared. Otherwise an index named the nearest, and no more of them are listed.
    """

    searched_by: str
    dissector: str
    neurons: int
    jobs: int
    exact: bool
    left_out: LeftOutOut
    items: list[NeuronHitOut]
    next: str | None


class PageOutAblationBriefOut(TypedDict):
    items: list[AblationBriefOut]
    next: str | None


class PageOutAuditListedOut(TypedDict):
    items: list[AuditListedOut]
    next: str | None


class PageOutDeploymentBriefOut(TypedDict):
    items: list[DeploymentBriefOut]
    next: str | None


class PageOutJobBriefOut(TypedDict):
    items: list[JobBriefOut]
    next: str | None


class PageOutJobOut(TypedDict):
    items: list[JobOut]
    next: str | None


class PageOutNeuronBriefOut(TypedDict):
    items: list[NeuronBriefOut]
    next: str | None


class PageOutPolicyOut(TypedDict):
    items: list[PolicyOut]
    next: str | None


class PageOutReviewOut(TypedDict):
    items: list[ReviewOut]
    next: str | None


class PageOutScheduleOut(TypedDict):
    items: list[ScheduleOut]
    next: str | None


class ProbeSetIn(TypedDict):
    """
    A manifest of images to register, or a published data set as it was unpacked.
    """

    licence: NotRequired[str | None]
    allowed_purposes: NotRequired[list[Purpose] | None]
    name: str
    manifest: str
    layout: NotRequired[str | None]
    root: NotRequired[str | None]
    pseudonymise: NotRequired[PseudonymsIn | bool | None]
    patches: NotRequired[PatchesIn | None]
    frames: NotRequired[Literal['middle', 'all', 'projection'] | None]
    on_unreadable: NotRequired[Literal['fail', 'skip']]
    independent: NotRequired[str | None]
    findings_map: NotRequired[str | None]
    concept_set: NotRequired[str | None]


class ResourceOut(TypedDict):
    """
    One version of a model, dissector, probe set or concept set, and what is stated of it.

    `replaced_terms` is what was stated before, in the answer to the registration that changed it, and else null.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]
    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']
    replaced_terms: NotRequired[TermsOut | None]


class ReviewSummaryOut(TypedDict):
    """
    What readers say of a job's labels.

    `decisions` and `standings` count what the caller may see, `hidden` what they may not see yet. Agreement and
    acceptance are of all readers, and of many neurons or none.
    """

    job: str
    decisions: DecisionCountsOut
    standings: StandingCountsOut
    hidden: int
    needed: int
    agreement: list[PairAgreementOut]
    no_agreement: str | None
    acceptance: AcceptanceOut


class RunsOut(TypedDict):
    """
    A page of past fires, newest first, and the future fires, soonest first.
    """

    items: list[FireOut]
    next: str | None
    upcoming: list[UpcomingOut]


class ScopeOut(TypedDict):
    """
    A layer, or all shared layers together (layer null).

    One value per network: units, labelled, only (concepts that it alone has). One per network but the reference:
    concepts (how many either it or the reference has alone), churn (null unless the units correspond).
    """

    layer: str | None
    units: list[int]
    labelled: list[int]
    categories: CompositionOut
    broad_categories: CompositionOut
    only: list[list[str]]
    concepts: list[MeasuredOut]
    churn: list[ChurnOut | None]


class StatedOut(TypedDict):
    """
    A model, a dissector or a probe set with its `state`: whether a worker could open it, or read its images.

    Null where this release has not been asked to: then it may be used, and a job finds out.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]
    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']
    replaced_terms: NotRequired[TermsOut | None]
    state: NotRequired[ResourceState | None]


class StrataIn(TypedDict):
    """
    Several parts of one probe set to dissect, a job each. Without a top-k, it follows the smallest of them.
    """

    target: str | CheckpointIn
    layers: list[Layer] | Literal['all', 'stages']
    concept_set: str
    probe_set: str
    dissector: str
    method: NotRequired[MethodIn]
    concepts_per_neuron: NotRequired[int]
    images_per_neuron: NotRequired[int]
    batch_size: NotRequired[int | None]
    evidence: NotRequired[EvidenceIn]
    shuffled: NotRequired[int | None]
    localisation: NotRequired[LocalisationIn | None]
    shard_size: NotRequired[int | None]
    queue: NotRequired[str]
    priority: NotRequired[int]
    purpose: NotRequired[Purpose | None]
    override_purpose: NotRequired[OverrideIn | None]
    strata: list[dict[str, list[Stratum]]]


class StrataOut(TypedDict):
    """
    The jobs of one request for several parts of a probe set, in its order.

    `comparison`: the id of their comparison, which is made when all have succeeded.
    """

    id: str
    jobs: list[JobBriefOut]
    comparison: str | None


class StratumFacts(TypedDict):
    """
    The exams with one value of a stratum (stored).
    """

    value: str
    exams: int
    network: NetworkFacts | None
    reason: NotRequired[str | None]


class UnitEffectOut(TypedDict):
    """
    What holding one unit by itself does.
    """

    layer: str
    unit: int
    effect: EffectOut


class VersionIn(TypedDict):
    """
    A new version of the model to use from now on. `audit`: audit it at once.
    """

    target: str | CheckpointIn
    audit: NotRequired[bool]
    override_purpose: NotRequired[OverrideIn | None]


class WatchfulNeuronOut(TypedDict):
    """
    A neuron that responds to watched concepts, whatever its own label: to `responding_to`, the strongest first.

    `responses` are at most three; GET /neurons/{layer}/{unit} has all.
    """

    layer: str
    unit: int
    concept: str
    responding_to: int
    responses: list[WatchedOut]
    images: list[TopImageOut]
    dependence: DependenceOut | None


class AblationResultOut(TypedDict):
    """
    What was found: `effect` of all units at once, `units` of each by itself where that was asked for.
    """

    outputs: int
    output_of: str
    images: int
    drawn_by: Literal['patient', 'exam', 'image', 'group']
    drawn: int
    resamples: int
    effect: EffectOut
    findings: list[FindingCountOut]
    units: list[UnitEffectOut]
    device: str
    notes: list[str]


class AlertOut(TypedDict):
    """
    An alert with its data, its deliveries and all their attempts.
    """

    id: str
    kind: str
    subject: str
    at: str
    data: dict[str, Any]
    deliveries: list[DeliveryOut]


class AuditFacts(TypedDict):
    """
    Everything that a verdict rests on (stored).
    """

    network: NetworkFacts
    same_network: NotRequired[bool]
    identical: NotRequired[bool | None]
    made_otherwise: NotRequired[list[str]]
    baseline: NotRequired[NetworkFacts | None]
    drift: NotRequired[Drift | None]
    strata: NotRequired[dict[str, list[StratumFacts]]]
    dependence: NotRequired[DependenceFacts | None]
    release: NotRequired[str | None]


class AuditIn(TypedDict):
    """
    An audit to start, of the version in use or of a candidate. It does not deploy the candidate.
    """

    deployment: str
    target: NotRequired[str | CheckpointIn | None]
    override_purpose: NotRequired[OverrideIn | None]


class AuditOut(TypedDict):
    """
    An audit with everything that its verdict rests on. `rules`: the policy as it was applied.
    """

    id: str
    deployment: str
    trigger: Literal['schedule', 'request', 'version', 'registry']
    schedule: str | None
    fire_time: str | None
    target: str
    candidate: bool
    policy: str
    baseline: str | None
    proposal: bool
    job: str | None
    status: AuditStatus
    verdict: Literal['pass', 'warn', 'fail'] | None
    problem: dict[str, Any] | None
    acknowledgement: AcknowledgementOut | None
    created_at: str
    finished_at: str | None
    outcomes: list[OutcomeOut] | None
    target_digest: str
    policy_digest: str
    rules: dict[str, Any]
    strata: list[StratumOut]
    facts: AuditFacts | None


class CheckedFindingsOut(TypedDict):
    """
    What the manifest says of findings.
    """

    named: CountedValuesOut
    unknown: int


class ComparisonResultOut(TypedDict):
    """
    What was found. `basis`: labels are the significant ones, or the best ones where not all were judged.

    `unshared`: layers of each network that not all have. `notes`: what could not be done, and why. `by_concept`:
    neurons by single concept over all shared layers; null in older comparisons. `judged_by`: what differences are held
    against; halves of the exams in older comparisons and where nothing was resampled.
    """

    basis: Literal['significant', 'best']
    resamples: int
    halves: int
    notes: list[str]
    network: ScopeOut
    layers: list[ScopeOut]
    unshared: list[list[str]]
    by_concept: CompositionOut | None
    judged_by: Literal['resamples', 'halves']


class DeployedOut(TypedDict):
    """
    The deployment with its new version, and the audit of that version if one was requested.
    """

    deployment: DeploymentOut
    audit: AuditBriefOut | None


class JobIn(TypedDict):
    """
    A dissection to run.
    """

    target: str | CheckpointIn
    layers: list[Layer] | Literal['all', 'stages']
    concept_set: str
    probe_set: str
    dissector: str
    method: NotRequired[MethodIn]
    concepts_per_neuron: NotRequired[int]
    images_per_neuron: NotRequired[int]
    batch_size: NotRequired[int | None]
    evidence: NotRequired[EvidenceIn]
    shuffled: NotRequired[int | None]
    localisation: NotRequired[LocalisationIn | None]
    shard_size: NotRequired[int | None]
    queue: NotRequired[str]
    priority: NotRequired[int]
    purpose: NotRequired[Purpose | None]
    override_purpose: NotRequired[OverrideIn | None]
    where: NotRequired[dict[str, list[WhereItem]] | None]


class NeuronOut(TypedDict):
    """
    A neuron with everything that is known about it. A dead one has neither label nor images.
    """

    job: str
    layer: str
    unit: int
    dead: bool
    concept: str | None
    category: str | None
    broad_category: str | None
    score: float | None
    significant: bool | None
    verdict: Verdict | None
    name: str | None
    level: Literal['concept', 'category', 'combination'] | None
    error: float | None
    review: Standing | None
    evidence: EvidenceOut | None
    concepts: list[RankedConceptOut]
    images: list[TopImageOut]
    activation: ActivationOut
    reviews: NeuronReviewsOut


class PageOutNeuronOut(TypedDict):
    items: list[NeuronOut]
    next: str | None


class PageOutResourceOut(TypedDict):
    items: list[ResourceOut]
    next: str | None


class PageOutStatedOut(TypedDict):
    items: list[StatedOut]
    next: str | None


class SetCheckOut(TypedDict):
    """
    What a probe set's images are.
    """

    images: int
    readable: int
    unreadable: int
    merged_rows: int
    reasons: list[ReasonOut]
    rows_named: int
    exams: int | None
    patients: int | None
    independent: IndependentUnitsOut
    findings: CheckedFindingsOut
    manifest: dict[str, CountedValuesOut]
    files: dict[str, CountedValuesOut]
    thresholds: dict[str, Any]


class WatchListOut(TypedDict):
    """
    Responses to watched concepts with q <= 0.05. If significance was not tested, `refused` says why.

    `watched` concepts were looked for in `live` neurons; `responding` of these respond to any, a share of `share`.
    Not looked for: `unknown`, of which neither findings nor columns say which images show them; `rare`, which too few
    images show or too few do not; `unseen`, which the dissector cannot tell.
    """

    job: str
    refused: str | None
    watched: int
    live: int
    responding: int
    share: float | None
    concepts: list[WatchedConceptOut]
    neurons: list[WatchfulNeuronOut]
    unknown: list[str]
    rare: list[str]
    unseen: list[str]


class AblationOut(TypedDict):
    """
    An ablation: which units are `held`, how far it has come (images `done` of `total`), and its result.

    `left_out`: watched units that are not held, because there are too many.
    """

    id: str
    job: str
    status: AblationStatus
    held: int
    value: Literal['mean', 'zero']
    each: bool
    created_at: str
    finished_at: str | None
    layers: list[LayerUnitsOut]
    left_out: int
    done: int
    total: int
    result: AblationResultOut | None
    problem: dict[str, Any] | None


class CheckOut(TypedDict):
    """
    The check of a probe set: how far it has come, and what the last one that ended has found.
    """

    state: ResourceState
    done: int
    total: int
    checked_at: str | None
    result: SetCheckOut | None
    problem: dict[str, str] | None


class ComparisonOut(TypedDict):
    """
    A comparison with its result.
    """

    id: str
    jobs: list[str]
    created_at: str
    result: ComparisonResultOut


class DeploymentIn(TypedDict):
    """
    A model to deploy. `baseline`: the job that its audits are compared with and whose settings they have.

    Without one, `dissection` says how it is dissected, and the first audit proposes a baseline.
    """

    name: str
    policy: str
    baseline: NotRequired[str | None]
    dissection: NotRequired[JobIn | None]
    registered_model: NotRequired[str | None]
    alert_budget: NotRequired[int | None]


class ProbeSetOut(TypedDict):
    """
    A probe set; `spec.images` is null until a worker has listed what only headers say (`spec.listing` is null until
    then, too), and measured what is cut into frames or patches.

    `state` says whether its images are being checked, `check` what that has found so far; both are null for a set that
    nobody has asked to check. `problem` says why it was refused, with the images' rows. `spec.unmeasured` counts the
    images that could not be measured and that the set skips, `spec.unmeasured_rows` names the first hundred.
    `findings` says which of its findings name which concepts, and which name none; null where the manifest knows none.

    `spec.independence`: what counts as independent by the manifest, how many units there are and how large, and which
    evidence they are too few for. `spec.grouping`: columns that were taken for `patient_id` and `exam_id`.
    """

    id: str
    name: str
    version: int
    reference: str
    digest: str
    created_at: str
    spec: dict[str, Any]
    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: Literal['statement', 'default']
    replaced_terms: NotRequired[TermsOut | None]
    state: NotRequired[ResourceState | None]
    findings: NotRequired[FindingsOut | None]
    problem: NotRequired[dict[str, str] | None]
    check: NotRequired[CheckOut | None]
