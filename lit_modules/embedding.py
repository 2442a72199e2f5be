"""Learners that first map each example on its own, so an example in many episodes is embedded only once."""

from typing import TypeGuard

from torch import Tensor, nn


class EmbeddingLearner(nn.Module):
    """A black-box learner in two parts: `embed` maps single examples, `infer` the embedded examples of an episode.

    `EpisodicModule` embeds the examples of a batch before it gathers episodes from them, so each is embedded once.
    `forward` embeds the examples of each episode instead; its predictions are the same up to rounding.
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

    def carried(self, support: int) -> int | None:
        """Counts the numbers that queries get of a support set of S examples; None if a learner does not say."""
        return None

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Embeds features [B, S, D] and [B, Q, D], and infers the predictions [B, Q, P]."""
        return self.infer(self.embed(support_x), support_y, self.embed(query_x))


def embeds_once(learner: nn.Module) -> TypeGuard[EmbeddingLearner]:
    """Returns whether examples may be embedded before `infer`; false for a subclass with its own `forward`."""
    return isinstance(learner, EmbeddingLearner) and type(learner).forward is EmbeddingLearner.forward
