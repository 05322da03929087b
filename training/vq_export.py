"""A trained codebook model -> a package for `adiabat.codec.vq`: ONNX graphs, integers, frequency tables.

Last of five: latent_train -> **vq_export**. The tables are counted over the codec's own encoder. Spec: spec/vq.md.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.float_graph import Graph, runner
from adiabat.codec.models import find_model
from adiabat.codec.package import unpack
from adiabat.codec.vq_choice import write_details
from adiabat.codec.vq_contexts import (
    ACTIVITIES,
    CONTEXTS,
    FEATURES,
    LETTERS,
    PASSES,
    PRECISION,
    STAGES,
    TABLE_KINDS,
    TABLES,
    TILTS,
    UNIT,
    WORDS,
    Place,
    Prior,
    bends,
)
from adiabat.codec.vq_model import FORMAT, KIND, load
from adiabat.codec.vq_transform import KINDS, analyse
from adiabat.training.export import zipped
from adiabat.training.stream_data import Crops
from adiabat.training.vq import VQVAE
from adiabat.training.vq_graphs import analysis_graph, synthesis_graph

Floats = NDArray[np.float32]
Say = Callable[[str], None]
GUESS = (8, 1, 2, 1, 6, 3, 0)  # weights of the features before any are fitted
ROUNDS = 6  # of counting: the encoder's choices follow the tables
FITTED = (0, 1, 3)  # rounds after which contexts are fitted
PATIENCE = 0.5  # of the median use of a word: so much weighs where it was
VIEWS = 60  # batches that are counted in each
EVEN = 0.02  # bits a value, added where a view is weighted by the inverse of what it takes
SMOOTH = 0.05  # of each table's letters: as its neighbours have them


@dataclass
class Counts:
    """What a round of encoding saw: letters by table, and by kind what contexts could be made of."""

    letters: NDArray[np.float64]
    features: list[list[NDArray[np.int16]]]
    sizes: list[list[NDArray[np.float64]]]
    sums: NDArray[np.float64]  # of the vectors that each word of the finest codebook stands for, and how many
    bits: float = 0.0
    values: int = 0


def first_prior(books: NDArray[np.int32]) -> Prior:
    """A prior that only knows that small words are common."""
    norm = (books.astype(np.float64) ** 2).sum(2) / UNIT**2
    cost = np.full((STAGES, LETTERS), 14.0)
    cost[:, :WORDS] = 2 + 1.5 * np.log2(1 + norm / 4.0 ** np.arange(STAGES)[:, None] ** 2)
    rows = np.concatenate([np.repeat(cost[:1], TABLE_KINDS * CONTEXTS, 0), cost[1:], cost[:-1]])
    weights = np.broadcast_to(np.array(GUESS, np.int16), (TABLE_KINDS, len(PASSES), FEATURES)).copy()
    edges = np.round(4 * 1.45 ** np.arange(ACTIVITIES - 1)).astype(np.int32)
    return Prior(books, weights, np.tile(edges, (TABLE_KINDS, 1)), to_frequencies(2.0**-rows))


def to_frequencies(weights: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Integers of at least 1 that sum to 2**24 in each row."""
    share = weights / weights.sum(1, keepdims=True)
    whole = np.floor(share * ((1 << PRECISION) - LETTERS)).astype(np.int64) + 1
    whole[np.arange(len(whole)), whole.argmax(1)] += (1 << PRECISION) - whole.sum(1)
    return np.asarray(whole, np.uint32)


def count(prior: Prior, graphs: list[Graph], crops: Iterator[Crops], rng: np.random.Generator, views: int) -> Counts:
    """Encode views at random steps and depths; letters weigh the inverse of what their view takes."""
    kinds = range(TABLE_KINDS)
    counts = Counts(np.zeros((TABLES, LETTERS)), [[] for _ in kinds], [[] for _ in kinds], np.zeros((WORDS, 4)))
    for _ in range(views):
        batch = next(crops).values
        levels = int(rng.integers(2, 5))
        octave = rng.uniform(-2.0, 0.2, (len(batch), 1, 1))
        smooth, details = analyse((batch / 10**octave).astype(np.float32), graphs, levels, wrap=False)
        bend = bends(np.round(smooth).astype(np.float64), wrap=False)
        passes: list[tuple[Place, Floats, NDArray[np.int16]]] = []
        groups, _ = write_details(prior, details, bend, wrap=False, seen=lambda *seen: passes.append(seen))  # noqa: B023
        bits = sum(float(prior.code_lengths[table][letters].sum()) for table, letters in groups)
        weight = 1e5 / (bits + EVEN * batch.size)
        for table, letters in groups:
            counts.letters[table] += weight * np.bincount(letters, minlength=LETTERS)
        for place, vectors, words in passes:
            _note(counts, place, vectors, words, weight, rng)
        counts.bits, counts.values = counts.bits + bits, counts.values + batch.size
    return counts


def _note(
    counts: Counts, place: Place, vectors: Floats, words: NDArray[np.int16], weight: float, rng: np.random.Generator
) -> None:
    """Add a pass to what contexts and words are fitted to."""
    pick = rng.random(len(vectors)) < 4000 / len(vectors)
    numbers = np.full_like(place.features[:1], place.number)
    counts.features[place.kind].append(np.vstack([place.features, numbers])[:, pick])
    counts.sizes[place.kind].append(np.log2(1 + (vectors[pick].astype(np.float64) ** 2).sum(1)))
    alone = words[1] < 0
    for axis in range(3):
        counts.sums[:, axis] += weight * np.bincount(words[0, alone], vectors[alone, axis], WORDS)
    counts.sums[:, 3] += weight * np.bincount(words[0, alone], minlength=WORDS)


def move_words(prior: Prior, counts: Counts) -> Prior:
    """Each word of the finest codebook to the mean of the vectors it stands for, as far as there are many."""
    books = prior.codebooks.copy()
    pull = PATIENCE * float(np.median(counts.sums[1:, 3])) + 1e-9
    total = counts.sums[:, :3] + pull * books[0] / UNIT
    books[0] = np.round(UNIT * total / (counts.sums[:, 3:] + pull))
    books[0, 0] = 0
    return replace(prior, codebooks=books)


def fit_contexts(prior: Prior, counts: Counts) -> Prior:
    """Weights by least squares of each vector's size on the features, by pass; thresholds that share out the sizes."""
    weights, thresholds = prior.weights.copy(), prior.thresholds.copy()
    for kind in (each for each in range(TABLE_KINDS) if counts.features[each]):
        seen = np.concatenate(counts.features[kind], 1)
        size = np.concatenate(counts.sizes[kind])
        total = np.zeros(len(size))
        for number in range(len(PASSES)):
            mine = seen[-1] == number
            f = seen[:-1, mine].astype(np.float64)
            ridge = 1e-3 * len(size) * np.eye(FEATURES)
            fitted = np.linalg.solve(f @ f.T + ridge, f @ size[mine])
            weights[kind, number] = np.clip(np.round(256 * fitted), -32767, 32767)
            total[mine] = weights[kind, number].astype(np.int64) @ seen[:-1, mine]
        order = np.argsort(total, kind="stable")
        share = np.cumsum(size[order] + 0.02)
        at = np.searchsorted(share, share[-1] * np.arange(1, ACTIVITIES) / ACTIVITIES)
        thresholds[kind] = np.maximum.accumulate(np.ceil(total[order][np.minimum(at, len(order) - 1)]))
    return replace(prior, weights=weights, thresholds=thresholds)


def tables(counts: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Frequencies from weighted letters, each table leaning on the contexts beside it and on all of its kind."""
    letters = counts + 1e-9
    first = letters[: TABLE_KINDS * CONTEXTS].reshape(TABLE_KINDS, ACTIVITIES, TILTS, LETTERS)
    of_activity = first.sum(2, keepdims=True)
    share = of_activity / of_activity.sum(3, keepdims=True)
    padded = np.pad(share, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge")
    prior = 0.6 * share + 0.17 * (padded[:, :-2] + padded[:, 2:]) + 0.06 * share.mean((0, 1))
    first = first + SMOOTH * np.median(first.sum(3)) * prior
    rest = letters[TABLE_KINDS * CONTEXTS :]
    rest = rest + 0.02 * rest.sum(1, keepdims=True) / LETTERS + 1e-6
    return to_frequencies(np.concatenate([first.reshape(-1, LETTERS), rest]))


def codebooks(model: VQVAE) -> NDArray[np.int32]:
    """The codebooks as integers; words that are missing are copies of zero."""
    books = np.zeros((STAGES, WORDS, 3), np.int32)
    learned = np.round(model.quantiser.books.cpu().numpy() * UNIT)
    books[:, : learned.shape[1]] = learned
    books[:, 0] = 0
    return books


def fit_prior(
    books: NDArray[np.int32],
    graphs: list[Graph],
    crops: Iterator[Crops],
    *,
    moving: bool,
    progress: Say = print,
    views: int = VIEWS,
) -> Prior:
    """Contexts, tables and, if moving, words by turns: the encoder's choices follow them, and they the choices."""
    rng, prior = np.random.default_rng(0), first_prior(books)
    for number in range(ROUNDS):
        counts = count(prior, graphs, crops, rng, views)
        progress(f"tables, round {number}: {counts.bits / counts.values:.4f} bits a value")
        if number in FITTED:  # contexts move the letters between tables, so that they are counted anew
            prior = fit_contexts(prior, counts)
            counts = count(prior, graphs, crops, rng, views)
        elif moving and number < ROUNDS - 1:
            prior = move_words(prior, counts)
        prior = replace(prior, frequencies=tables(counts.letters))
    return prior


def package(
    model: VQVAE, crops: Iterator[Crops], about: dict[str, Any], *, progress: Say = print, views: int = VIEWS
) -> bytes:
    """The bytes of a model package; the same model and crops give the same bytes.

    Parameters
    ----------
    model : VQVAE
        Without static channels in use: a codec sees none.
    crops : iterator of Crops
        What contexts and tables are counted on.
    about : dict
        JSON: recipe, data, licence; stands in the manifest.
    """
    model = model.cpu().eval()
    parts = {f"g_a_{kind}.onnx": analysis_graph(model.g_a.steps[kind]) for kind in range(KINDS)}  # type: ignore[arg-type]
    parts |= {f"g_s_{kind}.onnx": synthesis_graph(model.g_s.steps[kind]) for kind in range(KINDS)}  # type: ignore[arg-type]
    graphs = [runner(parts[f"g_a_{kind}.onnx"]) for kind in range(KINDS)]
    prior = fit_prior(codebooks(model), graphs, crops, moving=not model.quantiser.fixed, progress=progress, views=views)
    for name in ("codebooks", "weights", "thresholds", "frequencies"):
        buffer = io.BytesIO()
        np.save(buffer, getattr(prior, name))
        parts[f"{name}.npy"] = buffer.getvalue()
    manifest = {"kind": KIND, "format": FORMAT, "name": "vq", "coarse": find_model().sha256, **about}
    data = zipped({"manifest.json": _manifest(manifest), **parts})
    load(data)
    return data


def _manifest(entries: dict[str, Any]) -> bytes:
    return json.dumps(entries, indent=1, sort_keys=True).encode()


def repackage(data: bytes, model: VQVAE, about: dict[str, Any]) -> bytes:
    """A package with the `g_s` of this model, and what `about` says, in place of its own."""
    model = model.cpu().eval()
    before = unpack(data)
    parts = before.parts | {"manifest.json": _manifest(before.manifest | about)}
    for kind in range(KINDS):
        parts[f"g_s_{kind}.onnx"] = synthesis_graph(model.g_s.steps[kind])  # type: ignore[arg-type]
    made = zipped(parts)
    load(made)
    return made
