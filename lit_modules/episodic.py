"""EpisodicModule: trains an encoder and a black-box learner on episodes."""

import torch
from torch import Tensor, nn

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.embedding import embeds_once
from adaptbench.lit_modules.likelihoods import Likelihood
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import TrainedModule, encode_all, evaluating, once

EPISODES_AT_ONCE = 128


class EpisodicModule(TrainedModule):
    """Trains encoder and learner together on the likelihood of the query targets.

    Each example of a batch is encoded once, however many episodes use it; an `EmbeddingLearner` embeds it once as well.

    Args:
        encoder: from examples [M, *x] to features [M, D].
        learner: from support_x [B, S, D], support_y [B, S, Y] and query_x [B, Q, D] to predictions [B, Q, P].
        likelihood: how predictions are read.
        optimization: settings of the optimiser.
    """

    def __init__(
        self, encoder: nn.Module, learner: nn.Module, likelihood: Likelihood, optimization: Optimization
    ) -> None:
        super().__init__(encoder, optimization)
        self.learner, self.likelihood = learner, likelihood

    def training_step(self, batch: EpisodeBatch, batch_idx: int) -> Tensor:
        """Returns the mean negative log-likelihood of the query targets."""
        examples = self.embed(self.encode_training(batch.inputs))
        prediction = self.answer(examples, batch.support, batch.support_y, batch.query).float()
        loss = self.likelihood.nll(prediction, batch.query_y).mean()
        score = self.likelihood.score(prediction.detach(), batch.query_y)
        self.log_means("train", {"nll": loss.detach(), self.likelihood.metric: score}, len(batch.query))
        return loss

    def validation_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores the validation episodes; the log averages over all numbers of shots."""
        self.log_means("val", self.scores(batch), len(batch.query))

    def test_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores the test episodes of one size; of a task here, the log names it, as `test/accuracy/5-way 1-shot`."""
        test = getattr(getattr(self.trainer, "datamodule", None), "test", None)
        size = "" if test is None else f"/{test.sizes[batch_idx].title}"
        self.log_means("test", {name + size: value for name, value in self.scores(batch).items()}, len(batch.query))

    def predict_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Returns class probabilities or means of all queries, [B, Q, Y]."""
        return self.likelihood.point(self.predict(batch))

    def scores(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Returns negative log-likelihood and metric of each query, [B, Q], in evaluation mode."""
        prediction = self.predict(batch)
        return {
            "nll": self.likelihood.nll(prediction, batch.query_y),
            self.likelihood.metric: self.likelihood.score(prediction, batch.query_y),
        }

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Predicts all queries from their support sets, [B, Q, P], in evaluation mode and without gradients."""
        with evaluating(self), torch.no_grad():
            features = encode_all(self.encoder, batch.inputs)
            examples = once(self.learner, features, lambda: self.embed(features))
            return torch.cat([self.answer(examples, *part) for part in batch.chunks(EPISODES_AT_ONCE)])

    def embed(self, features: Tensor) -> Tensor:
        """Embeds examples [M, D] if the learner can embed them one by one."""
        return self.learner.embed(features) if embeds_once(self.learner) else features

    def answer(self, examples: Tensor, support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
        """Predicts queries [B, Q] from support sets [B, S], given as rows of the examples; returns [B, Q, P]."""
        infer = self.learner.infer if embeds_once(self.learner) else self.learner
        return infer(examples[support], support_y, examples[query])


class StreamModule(EpisodicModule):
    """Trains on streams, in which every query is a step of the support sequence, predicted from the steps before it.

    The arguments are those of `EpisodicModule`. The learner must also have `stream(x [B, T, D], y [B, T, Y])`, which
    returns the predictions of all steps, [B, T, P].
    """

    def embed(self, features: Tensor) -> Tensor:
        """Returns the features as they are; `stream` embeds them, because an example is in one stream only."""
        return features

    def answer(self, examples: Tensor, support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
        """Predicts the steps of the streams that are queries; returns [B, Q, P]."""
        predictions = self.learner.stream(examples[support], support_y)  # type: ignore[operator]  # a learner that has it
        steps = (query.unsqueeze(-1) == support.unsqueeze(1)).int().argmax(dim=-1)
        return predictions.gather(1, steps.unsqueeze(-1).expand(-1, -1, predictions.shape[-1]))
