"""Streams: episodes in which every step is a query, to be predicted from the steps before it."""

from adaptbench.datamodules.episodes import EpisodeBatch


def as_streams(batch: EpisodeBatch) -> EpisodeBatch:
    """Makes streams of episodes without queries: the queries are the support examples themselves, in their order."""
    return batch._replace(query=batch.support, query_y=batch.support_y)


def select_presentation(batch: EpisodeBatch, number: int) -> EpisodeBatch:
    """Keeps the queries at which a class is presented for the `number`-th time, in order of time.

    Args:
        batch: streams from `as_streams`.
        number: 1 for the first time.
    """
    times = (batch.support_y.cumsum(dim=1) * batch.support_y).sum(dim=-1)
    steps = (times == number).nonzero()[:, 1].reshape(len(times), -1)
    targets = batch.support_y.gather(1, steps.unsqueeze(-1).expand(-1, -1, batch.support_y.shape[-1]))
    return batch._replace(query=batch.support.gather(1, steps), query_y=targets)
