"""The format of `laboratory-SUITE.json`: what trained networks give to the laboratories of a report's page."""

from adaptbench.reports.format import Count, File, Finite, Name, Positive, Record, RunId

Base64 = str
"""Bytes in base64."""


class Network(Record):
    """What a trained learner of a regression task gives."""

    run_id: RunId
    """Its run."""
    onnx: Base64 | None
    """Its network in the ONNX format, compressed with gzip: from `support_x` [S, 1], `support_y` [S, 1] and `query_x`
    [Q, 1] to `mean` [Q]; null if it has no such form."""
    why_not: str = ""
    """Why it has no such form."""


class Functions(Record):
    """A regression task of functions of one variable."""

    task: Name
    """What readers know the task by."""
    protocol: str
    """Its protocol."""
    noise: Finite
    """Standard deviation of the noise on the points."""
    bayes: Base64 | None
    """The posterior mean and standard deviation of the function, like a network, with a second output `deviation` [Q];
    null without noise."""
    networks: tuple[Network, ...]
    """One for each learner."""


class Answers(Record):
    """The probabilities that a learner gives to the labels of an episode's queries."""

    run_id: RunId
    """Its run."""
    given: dict[str, Base64 | None]
    """By the change to the support set: a byte for each query and label, 255 for 1; null where it has no answer.
    "original" is no change, "without 3" lacks support example 3, "other 3" has another drawing of its class in its
    place, "labels" gives each class the next label, and "reversed" and "shuffled" change the order."""


class Episode(Record):
    """An episode with answers. Labels count from 0, and images are numbered as in the picture of all images."""

    unseen: bool
    """Whether its classes are those of the test; otherwise those of training."""
    ways: Positive
    """Its classes."""
    shots: Positive
    """Support examples of each class."""
    support: tuple[Count, ...]
    """The images of its support set."""
    labels: tuple[Count, ...]
    """Their labels."""
    others: tuple[Count, ...]
    """Another image of each one's class."""
    query: tuple[Count, ...]
    """The images of its queries."""
    query_labels: tuple[Count, ...]
    """Their labels, which no learner has seen."""
    shuffled: tuple[Count, ...]
    """The places of the support examples in the order "shuffled"."""
    answers: tuple[Answers, ...]
    """One for each learner."""


class Explored(Record):
    """Episodes of a task of classes."""

    task: Name
    """What readers know the task by."""
    protocol: str
    """Its protocol."""
    ink: bool
    """Whether images are ink, which is bright in them and dark on paper."""
    width: Positive
    """Width of an image, in pixels."""
    height: Positive
    """Height of an image, in pixels."""
    images: Base64
    """All images below each other, as PNG."""
    episodes: tuple[Episode, ...]
    """The episodes."""


class Laboratory(File):
    """`laboratory-SUITE.json` beside the runs of a suite; `adaptbench report --laboratory` writes it."""

    functions: tuple[Functions, ...]
    """Tasks of functions."""
    explored: tuple[Explored, ...]
    """Tasks of classes."""
