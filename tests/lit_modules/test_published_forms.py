"""Learners in their papers' form, against the papers' equations written out step by step in numpy."""

import numpy as np
import pytest
import torch

from adaptbench.benchmarks.suites.registry import LEARNERS, load

EPISODES, SUPPORT, QUERIES, FEATURES, WAYS = 2, 6, 3, 7, 3


def make(label, **init_args):
    """A form by its label, in float64."""
    torch.manual_seed(0)
    name, form = next((name, form) for name, entry in LEARNERS.items() for form in entry.forms if form.label == label)
    return load("learner", name)(FEATURES, WAYS, WAYS, **{**form.init_args, **init_args}).double()


@pytest.fixture
def episode():
    """Support features and one-hot labels, and queries, of a few episodes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(EPISODES, SUPPORT + QUERIES, FEATURES, generator=generator, dtype=torch.float64)
    y = torch.stack([torch.randperm(SUPPORT, generator=generator) % WAYS for _ in range(EPISODES)])
    return x[:, :SUPPORT], torch.eye(WAYS, dtype=torch.float64)[y], x[:, SUPPORT:]


def agree(learner, episode, equations):
    """Compares all predictions with what equations(support_x, support_y, query) give for one query of one episode."""
    predicted = learner(*episode).detach().numpy()
    arrays = [field.numpy() for field in episode]
    for number in range(EPISODES):
        support_x, support_y, query_x = (field[number] for field in arrays)
        for query in range(QUERIES):
            expected = equations(support_x, support_y, query_x[query])
            np.testing.assert_allclose(predicted[number, query], expected, rtol=1e-8, atol=1e-10)


def weights(module):
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def affine(linear, x):
    return linear.weight.detach().numpy() @ x + (0 if linear.bias is None else linear.bias.detach().numpy())


def perceptron(sequential, x):
    linears = [layer for layer in sequential if isinstance(layer, torch.nn.Linear)]
    for layer in linears[:-1]:
        x = np.maximum(affine(layer, x), 0)
    return affine(linears[-1], x)


def norm(layer, x):
    return layer.weight.detach().numpy() * (x - x.mean()) / np.sqrt(x.var() + layer.eps) + layer.bias.detach().numpy()


def embed(sequential, x):
    return norm(sequential[1], affine(sequential[0], x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def lstm_step(cell, x, h, c):
    gates = cell["ih"][0] @ x + cell["ih"][1] + cell["hh"][0] @ h + cell["hh"][1]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(cell, x, h):
    read, recurred = (cell[kind][0] @ value + cell[kind][1] for kind, value in (("ih", x), ("hh", h)))
    (r, z, n), (rr, rz, rn) = np.split(read, 3), np.split(recurred, 3)
    keep = sigmoid(z + rz)
    return (1 - keep) * np.tanh(n + sigmoid(r + rr) * rn) + keep * h


def cell_of(module, layer="_l0"):
    found = weights(module)
    return {kind: (found[f"weight_{kind}{layer}"], found[f"bias_{kind}{layer}"]) for kind in ("ih", "hh")}


def one_label_late(support_x, support_y, query):
    """The sequence [x_1; 0], [x_2; y_1] ... [x*; y_S] of Hochreiter et al. 2001 and Santoro et al. 2016."""
    before = np.zeros(WAYS)
    for x, y in zip(support_x, support_y, strict=True):
        yield np.concatenate([x, before])
        before = y
    yield np.concatenate([query, before])


@pytest.mark.parametrize("label", ["LSTM", "GRU"])
def test_recurrent_learners_read_labels_one_step_late_and_the_query_last(label, episode):
    learner = make(label, width=16)
    cell = cell_of(learner.read)

    def equations(*one):
        h = c = np.zeros(16)
        for step in one_label_late(*one):
            if label == "LSTM":
                h, c = lstm_step(cell, step, h, c)
            else:
                h = gru_step(cell, step, h)
        return affine(learner.decode, h)

    agree(learner, episode, equations)


def test_a_pooled_lstm_takes_the_query_from_the_mean_of_states_after_one_pair_each(episode):
    learner = make("LSTM", width=16, pooled=True)
    cell = cell_of(learner.read)

    def equations(support_x, support_y, query):
        pairs = [np.concatenate(pair) for pair in zip(support_x, support_y, strict=True)]
        states = [lstm_step(cell, pair, np.zeros(16), np.zeros(16)) for pair in pairs]
        h, c = (np.mean(part, axis=0) for part in zip(*states, strict=True))
        return affine(learner.decode, lstm_step(cell, np.concatenate([query, np.zeros(WAYS)]), h, c)[0])

    agree(learner, episode, equations)


def test_a_bound_pair_stays_together_where_the_query_is_a_step(episode):
    learner = make("LSTM, bound", query="step", width=16)
    cell, binding = cell_of(learner.read), learner.binding

    def pair(x, y):
        return norm(learner.norm, np.outer(embed(binding.embed, x), affine(binding.target, y)).ravel())

    def equations(support_x, support_y, query):
        h = c = np.zeros(16)
        for x, y in [*zip(support_x, support_y, strict=True), (query, np.zeros(WAYS))]:
            h, c = lstm_step(cell, pair(x, y), h, c)
        return affine(learner.decode, h)

    agree(learner, episode, equations)


def test_a_conditional_neural_process(episode):
    """Garnelo et al. 2018, eqs. 1 to 3."""
    learner = make("CNP", width=16, depth=4)

    def equations(support_x, support_y, query):
        each = [perceptron(learner.encode, np.concatenate(p)) for p in zip(support_x, support_y, strict=True)]
        return perceptron(learner.decode, np.concatenate([query, np.mean(each, axis=0)]))

    agree(learner, episode, equations)


def test_a_conditional_neural_process_with_class_means_in_a_row(episode):
    learner = make("CNP, class means in a row", width=16)

    def equations(support_x, support_y, query):
        labels = support_y.argmax(axis=-1)
        encoded = np.stack([perceptron(learner.encode, x) for x in support_x])
        row = [encoded[labels == each].mean(axis=0) for each in range(WAYS)]
        return perceptron(learner.decode, np.concatenate([query, *row]))

    agree(learner, episode, equations)


def test_a_linear_hypernetwork(episode):
    """Every weight of the predictor is a linear function of the context."""
    learner = make("Hypernetwork", width=32, heads=2)

    def generate(generator, context):
        made = affine(generator.generate, context / np.sqrt(32)).reshape(generator.shape)
        return made[:, :-1], made[:, -1]

    def equations(support_x, support_y, query):
        binding = learner.support.binding
        pairs = [
            np.outer(embed(binding.embed, x), affine(binding.target, y))
            for x, y in zip(support_x, support_y, strict=True)
        ]
        context = norm(learner.norm, np.mean(pairs, axis=0).ravel())
        (first, bias), (second, offset) = generate(learner.first, context), generate(learner.second, context)
        return second @ np.maximum(first @ embed(binding.embed, query) + bias, 0) + offset

    agree(learner, episode, equations)


def attend(questions, keys, values, heads):
    """Vaswani et al. 2017, eq. 1: one question [W] in each head, to keys and values [S, W]."""
    found = []
    for q, k, v in zip(np.split(questions, heads), np.split(keys, heads, 1), np.split(values, heads, 1), strict=True):
        found.append(softmax(k @ q / np.sqrt(len(q))) @ v)
    return np.concatenate(found)


def test_attention_by_two_maps_and_the_dot_product(episode):
    learner = make("Attention, dot product", width=16, layers=2, heads=2)

    def update(layer, token, source):
        normed = np.stack([norm(layer.norm, each) for each in source])
        keys, values = (np.stack([affine(each, x) for x in normed]) for each in (layer.compare, layer.value))
        token = token + affine(layer.merge, attend(affine(layer.ask, norm(layer.norm, token)), keys, values, 2))
        return token + perceptron(layer.feed[1:], norm(layer.feed[0], token))

    def equations(support_x, support_y, query):
        support = [
            embed(learner.embed_x, x) + affine(learner.embed_y, y) for x, y in zip(support_x, support_y, strict=True)
        ]
        token = embed(learner.embed_x, query)
        for layer in learner.layers:
            token, support = update(layer, token, support), [update(layer, each, support) for each in support]
        return perceptron(learner.decode[1:], norm(learner.decode[0], token))

    agree(learner, episode, equations)


@pytest.mark.parametrize("label", ["TNP-D", "TNP-D, normalised before"])
def test_tnpd_is_one_masked_sequence(label, episode):
    """Nguyen & Grover 2022: targets padded, every token masked from every query."""
    learner = make(label, width=16, depth=2, layers=2, heads=2)
    before = label != "TNP-D"

    def normed(layer, tokens, wanted):
        return np.stack([norm(layer, token) for token in tokens]) if wanted else tokens

    def equations(support_x, support_y, query):
        pairs = [np.concatenate([x, y, [0.0]]) for x, y in zip(support_x, support_y, strict=True)]
        padded = np.concatenate([query, np.zeros(WAYS), [1.0]])
        tokens = np.stack([perceptron(learner.token, step) for step in [*pairs, padded]])
        mask = np.zeros((SUPPORT + 1, SUPPORT + 1))
        mask[:, SUPPORT:] = -np.inf
        for layer in learner.layers:
            found = weights(layer.attend)
            q, k, v = np.split(
                normed(layer.attended, tokens, before) @ found["in_proj_weight"].T + found["in_proj_bias"], 3, axis=1
            )
            heads = []
            for part in np.split(np.arange(16), 2):
                fits = q[:, part] @ k[:, part].T / np.sqrt(len(part)) + mask
                heads.append(np.stack([softmax(row) for row in fits]) @ v[:, part])
            attended = [affine(layer.attend.out_proj, row) for row in np.concatenate(heads, axis=1)]
            tokens = normed(layer.attended, tokens + attended, not before)
            fed = [perceptron(layer.feed, token) for token in normed(layer.fed, tokens, before)]
            tokens = normed(layer.fed, tokens + fed, not before)
        return perceptron(learner.decode, tokens[-1])

    agree(learner, episode, equations)


def causal_convolution(block, sequence):
    """A gated convolution of two taps, which appends its channels (Mishra et al. 2018, after van den Oord et al.)."""
    appended = []
    for step, now in enumerate(sequence):
        before = sequence[step - block.dilation] if step >= block.dilation else np.zeros_like(now)
        signal, gate = np.split(affine(block.now, now) + affine(block.before, before), 2)
        appended.append(np.concatenate([now, np.tanh(signal) * sigmoid(gate)]))
    return appended


def causal_attention(block, sequence):
    """Each step attends to itself and all earlier ones, and appends what it finds (Mishra et al. 2018)."""
    keys, values = (np.stack([affine(each, x) for x in sequence]) for each in (block.compare, block.value))
    found = [attend(affine(block.ask, x), keys[: t + 1], values[: t + 1], 1) for t, x in enumerate(sequence)]
    return [np.concatenate(each) for each in zip(sequence, found, strict=True)]


@pytest.mark.parametrize("label", ["SNAIL", "Temporal convolution"])
def test_causal_learners_have_the_query_as_the_last_step(label, episode):
    learner = make(label, width=8, filters=4, length=7)

    def equations(support_x, support_y, query):
        labels = [*support_y, np.zeros(WAYS)]
        sequence = [
            np.concatenate([embed(learner.embed_x, x), y]) for x, y in zip([*support_x, query], labels, strict=True)
        ]
        for block in learner.blocks:
            sequence = (causal_convolution if hasattr(block, "dilation") else causal_attention)(block, sequence)
        return affine(learner.decode, sequence[-1])

    agree(learner, episode, equations)
    kinds = {type(block).__name__ for block in learner.blocks}
    assert kinds == ({"DenseBlock", "CausalAttention"} if label == "SNAIL" else {"DenseBlock"})


def test_mann_with_least_recently_used_access(episode):
    """Santoro et al. 2016, eqs. 2 to 8, with four heads."""
    learner = make("MANN", width=16, rows=10, row_width=5)
    with torch.no_grad():
        learner.gate.fill_(0.3)
    found = weights(learner.control)
    cell = {kind: (found[f"weight_{kind}"], found[f"bias_{kind}"]) for kind in ("ih", "hh")}
    share = sigmoid(0.3)

    def cosine(key, row):
        length = np.linalg.norm(key) * np.linalg.norm(row)
        return key @ row / length if length else 0.0  # eq. 2

    def equations(*one):
        h, c, memory, usage = np.zeros(16), np.zeros(16), np.zeros((10, 5)), np.zeros(10)
        reading, read = [np.zeros(10)] * 4, [np.zeros(5)] * 4
        for step in one_label_late(*one):
            h, c = lstm_step(cell, np.concatenate([step, *read]), h, c)
            keys = np.split(np.tanh(affine(learner.key, h)), 4)
            order = sorted(range(10), key=lambda row: usage[row])
            least = np.isin(np.arange(10), order[:4]).astype(float)  # eq. 6
            writing = [share * each + (1 - share) * least for each in reading]  # eq. 7
            memory[order[0]] = 0
            for each, key in zip(writing, keys, strict=True):
                memory = memory + np.outer(each, key)  # eq. 8
            reading = [softmax(np.array([cosine(key, row) for row in memory])) for key in keys]  # eq. 3
            read = [each @ memory for each in reading]  # eq. 4
            usage = 0.95 * usage + sum(reading) + sum(writing)  # eq. 5
        return affine(learner.decode, np.concatenate([h, *read]))

    agree(learner, episode, equations)
