"""Learners that begin with a map of each example by itself, which an example in many episodes needs only once."""

from typing import TypeGuard

from torch import Tensor, nn


class EmbeddingLearner(nn.Module):
    """A black-box learner in two parts: `embed` sees one example, `infer` the embedded examples of an episode.

    `EpisodicModule` embeds the examples of a batch before it gathers episodes from them, so that each is embedded once.
    Called by itself, the learner embeds the examples of each episode; the predictions are the same up to rounding.
    """

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        raise NotImplementedError

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts queries from support sets.

        Args:
            support_x: [B, S, E] float32, embedded.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, E] float32, embedded.

        Returns:
            [B, Q, P] float32.
        """
        raise NotImplementedError

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Embeds features [B, S, D] and [B, Q, D], and infers the predictions [B, Q, P]."""
        return self.infer(self.embed(support_x), support_y, self.embed(query_x))


def embeds_once(learner: nn.Module) -> TypeGuard[EmbeddingLearner]:
    """Says whether examples may be embedded before `infer`; not for a class with a `forward` of its own."""
    return isinstance(learner, EmbeddingLearner) and type(learner).forward is EmbeddingLearner.forward
