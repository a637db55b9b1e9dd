"""The words of the pages: what each means, and how its figure is computed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its meaning in one or two sentences, and the document of the repository that says more."""

    title: str
    meaning: str
    computed: str | None = None
    document: str | None = None


WORDS: dict[str, Word] = {
    "dissection": Word(
        "dissection",
        "One job's result: for each neuron of each layer the concepts that its strongest images show, ranked.",
        "Every image of the probe set is shown to the network and to the dissector, once. All else follows from that.",
        "architecture.md",
    ),
    "neuron": Word(
        "neuron, unit",
        "One channel of a layer: a number that the network makes of each image.",
        "A convolution's channel is averaged over the image (or its maximum is taken); of a transformer it is the "
        "class token's.",
        "architecture.md",
    ),
    "probe-set": Word(
        "probe set",
        "The images that are shown, with what is known of each: patient, exam, view, findings.",
        document="probe-sets.md",
    ),
    "dissector": Word(
        "dissector",
        "The image-text model that judges how well each image goes with each concept. A neuron can only be named after "
        "what the dissector sees.",
        document="dissectors.md",
    ),
    "concept-set": Word(
        "concept set",
        "The list of concepts that neurons may be named after, in categories.",
        document="concept-sets.md",
    ),
    "verdict": Word(
        "verdict",
        "What a label is worth: named, unverified, unnamed or no signal.",
        "A direction in the dissector's space is fitted to the neuron on three quarters of the exams and measured on "
        "the rest. A name has to explain most of what that direction explains, and to beat decoys.",
        "evidence.md",
    ),
    "named": Word(
        "named",
        "The neuron follows the concept, and the dissector is known to see it. How often such names are wrong is "
        "estimated and shown beside it.",
        document="evidence.md",
    ),
    "unverified": Word(
        "unverified",
        "As named, but nobody knows whether the dissector sees the concept: too few images of the probe set are "
        "labelled with it, or the dissector fails at it.",
        document="evidence.md",
    ),
    "unnamed": Word(
        "unnamed",
        "The neuron follows something that the dissector sees and that no concept says well enough. A person should "
        "look at its images.",
        document="evidence.md",
    ),
    "no-signal": Word(
        "no signal",
        "Nothing that the dissector sees tells what the neuron follows. The network may use it all the same.",
        document="evidence.md",
    ),
    "no-concept": Word(
        "no concept", "The neuron's best score is not beyond chance, so it has no label.", document="evidence.md"
    ),
    "score": Word(
        "score",
        "How well a concept goes with the images that excite a neuron most. Comparable only within one dissector, "
        "concept set, probe set and number of images.",
        "By default a contrast: how far the mean cosine of the top images lies above that of all images, in standard "
        "errors.",
        "label-accuracy.md",
    ),
    "q-value": Word(
        "q-value",
        "The share of false finds among all labels at least as good as this one. Up to 0.05 a label is significant.",
        "Benjamini and Hochberg's control over all living neurons of the job, on p-values from exchanged exams.",
        "evidence.md",
    ),
    "z": Word(
        "z",
        "How far the best score lies above what chance gives, in standard deviations. It may be compared between "
        "layers and jobs.",
        "The same score of many image sets in which whole exams were exchanged at random.",
        "evidence.md",
    ),
    "chance": Word(
        "chance",
        "What the best score would be of a neuron that knows nothing of the concepts.",
        "Its top images are exchanged exam by exam for others at random, and scored in the same way.",
        "evidence.md",
    ),
    "stability": Word(
        "stability",
        "How often other exams would have given the same label.",
        "The exams are drawn again with replacement, 200 times unless the job asks otherwise.",
        "evidence.md",
    ),
    "agreement": Word(
        "agreement",
        "Whether the neuron tells images with the finding from images without it.",
        "The area under the ROC curve of its activation, over images that the probe set has labelled.",
        "evidence.md",
    ),
    "error": Word(
        "estimated error",
        "The estimated share of wrong names among those that are at least as sure as this one.",
        "From how often decoys win against concepts.",
        "label-accuracy.md",
    ),
    "correlation": Word(
        "held-out correlation",
        "How closely the neuron's activation follows a concept, on exams that were not used to fit anything.",
        document="correlation.md",
    ),
    "coverage": Word(
        "coverage",
        "Which concepts and categories at least one named neuron of the network represents, and why others are not.",
        document="comparisons.md",
    ),
    "untestable": Word(
        "untestable",
        "The dissector itself cannot recognise the concept on labelled images. It is never reported as missing.",
        document="evidence.md",
    ),
    "watch-list": Word(
        "watch-list",
        "Neurons that respond to what should not drive a diagnosis: markers, views, clips, implants, artefacts.",
        "A response has to hold beyond what the neuron's label implies, on images that are known to show the thing.",
        "evidence.md",
    ),
    "threshold": Word(
        "threshold", "The mean best score of a layer's neurons: the local threshold of the published method."
    ),
    "layer": Word(
        "layer",
        "A named part of the network, whose channels are the neurons that are looked at.",
        document="architecture.md",
    ),
    "category": Word(
        "category, broad category",
        "Where a concept stands in the clinical vocabulary, as its concept set says.",
        document="concept-sets.md",
    ),
    "explained": Word(
        "explained",
        "How much of what the dissector can say of a neuron its concept alone says.",
        "The concept's held-out correlation squared, divided by that of the best direction squared.",
        "correlation.md",
    ),
    "fit": Word(
        "fit",
        "How closely the neuron follows anything at all that the dissector sees.",
        "The correlation of its activation with its best direction, on exams that fitted nothing.",
        "correlation.md",
    ),
    "activation": Word(
        "activation",
        "The number that a neuron makes of an image; the top images are those with the greatest.",
        "Over all images of the probe set: least, greatest, mean and standard deviation.",
        "architecture.md",
    ),
    "clarity": Word(
        "clarity",
        "How much alike the neuron's top images are, as the dissector sees them.",
        "The mean cosine between their embeddings.",
        "evidence.md",
    ),
    "polysemanticity": Word(
        "polysemanticity",
        "How far apart the two kinds of images are that excite the neuron, if there are two.",
        "The distance between the two clusters that its top images fall into.",
        "evidence.md",
    ),
    "redundancy": Word(
        "redundancy",
        "How much the neuron is like the most similar one of its layer.",
        "The cosine between the mean embeddings of their top images.",
        "evidence.md",
    ),
    "neighbours": Word(
        "neighbours",
        "The neurons of the same dissection that follow most nearly the same thing.",
        "The cosine between two neurons' directions in the dissector's space.",
        "correlation.md",
    ),
    "cosine": Word(
        "cosine",
        "How much a neuron's direction is that of what is searched by: 1 for the same, 0 for nothing in common. Those "
        "with texts are small: read their order, not their size.",
        "A neuron's direction is the one in the dissector's space along which its activation rises most.",
        "search.md",
    ),
    "ablation": Word(
        "ablation",
        "What becomes of the network's own outputs when the neuron is held at one value.",
        "The change of an output over the probe set, in that output's own deviations.",
        "ablations.md",
    ),
    "localisation": Word(
        "localisation",
        "Whether the neuron is active where the manifest says that a finding is.",
        "Its map over space is compared with the finding's places, and with those in images of other exams.",
        "where.md",
    ),
    "input-contract": Word(
        "input contract",
        "How an image reaches the network: size, contrast, scale, and where each of these values is from.",
        document="inputs.md",
    ),
    "dead": Word("dead", "The same activation for every image. Such a neuron gets no label."),
    "driving-region": Word("driving region", "Where in the image the neuron's map is highest.", document="where.md"),
    "deployment": Word(
        "deployment",
        "A deployed model, and how it is audited: with which images, method and policy.",
        document="audits.md",
    ),
    "audit": Word(
        "audit",
        "A dissection of a deployed model, compared with its baseline and judged by a policy: PASS, WARN or FAIL.",
        document="audits.md",
    ),
    "manifest": Word(
        "manifest",
        "Everything that a result follows from: content digests of all parts, the method, seeds, versions.",
        document="architecture.md",
    ),
    "replay": Word(
        "replay", "The same job computed again from nothing. It says whether the result is the same, bit by bit."
    ),
    "baseline": Word(
        "baseline",
        "The dissection that audits of a deployment are compared with. Somebody pins it.",
        document="audits.md",
    ),
    "policy": Word(
        "policy",
        "The rules that a deployed model has to keep, with their thresholds. They are fixed before an audit begins.",
        "Each rule passes, warns, fails or cannot be tested; the verdict is the worst of them.",
        "audits.md",
    ),
    "drift": Word(
        "drift",
        "How far a network has moved from its baseline: categories gained and lost, labels that differ.",
        "Neurons of each category in both dissections, held against what other exams and other units would make of "
        "the difference.",
        "audits.md",
    ),
    "divergence": Word(
        "divergence",
        "How different two networks are in what they represent: 0 the same, 1 bit nothing in common.",
        "The Jensen-Shannon divergence between the shares of the categories.",
        "comparisons.md",
    ),
    "gain": Word(
        "gain",
        "How many neurons more, or fewer, a network has for a category than the reference.",
        "Scaled to the reference's number of units. Its interval of 95 % comes from resampled exams and the units that "
        "differ.",
        "comparisons.md",
    ),
    "noise": Word(
        "noise",
        "What the choice of exams, and of units, alone would make of a figure. A change within it may still be real; "
        "this probe set cannot show it.",
        "The exams are drawn again with replacement within one network.",
        "comparisons.md",
    ),
    "schedule": Word(
        "schedule",
        "When a deployment is audited by itself, and what happens to times that were missed.",
        document="schedules.md",
    ),
    "qualification": Word(
        "what a dissector sees",
        "Whether the dissector tells images with a concept from images without it. Concepts that it cannot tell are "
        "untestable.",
        "The area under the ROC curve (AUROC) of its similarity, with an interval of 95 %, on images that the probe "
        "set has labelled.",
        "evidence.md",
    ),
    "check": Word(
        "check",
        "Every image of a probe set is decoded once, as jobs decode it, before any job uses the set.",
        document="probe-sets.md",
    ),
    "lint": Word(
        "remarks on concepts",
        "What makes a concept a poor name for neurons: negations, sides, times, doubts, near duplicates.",
        document="concept-sets.md",
    ),
    "independent": Word(
        "independent",
        "What counts as one draw: all images of a patient or an exam, and all copies of them, belong together.",
        document="evidence.md",
    ),
    "review": Word(
        "review",
        "What readers say of a label. It stands beside the label and never takes its place.",
        "A reader sees nobody else's review of a neuron before having judged it, which a comment does not.",
        "reviews.md",
    ),
    "kappa": Word(
        "kappa",
        "How far two readers agree beyond chance: 1 always, 0 as often as by chance.",
        "Cohen's kappa of what both decided while blind to each other; interval of 95 % by Fleiss, Cohen and Everitt.",
        "reviews.md",
    ),
    "acceptance": Word(
        "acceptance",
        "Of names drawn at random, the share that all their readers accept; the service's own estimate of right names "
        "is beside it.",
        "Wilson's interval of 95 %. Neurons that a reader picked count for nothing.",
        "reviews.md",
    ),
}
