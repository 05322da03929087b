"""What streams say of themselves, counted: path, context, model, sections.

Stage: after the archive, under `inventory`. Headers and plans are read, nothing is decoded, and no model is needed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from adiabat.codec.stream import Stream

MAGIC = b"ADBT"


@dataclass
class StreamTally:
    """What the streams of an array say, counted.

    Attributes
    ----------
    count : int
        Streams looked at.
    paths : mapping of str to int
        Streams by path (neural, latent, classical, constant, raw).
    orders : mapping of (int or None, int) to int
        Neural streams by the axis along which frames were predicted from others, and from how many at most.
    tapered : int
        Streams tuned for mean square error.
    statics, models : mapping of str to int
        Streams by SHA-256 of the static fields and of the model that decoding needs.
    sections : mapping of str to int
        Bytes by section, headers under ``header``.
    """

    count: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    orders: Counter[tuple[int | None, int]] = field(default_factory=Counter)
    tapered: int = 0
    statics: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    sections: Counter[str] = field(default_factory=Counter)

    def add(self, data: bytes) -> None:
        """Take in one stream."""
        from adiabat.codec.statics import read_statics

        stream = Stream.read(data)
        self.count += 1
        self.paths[stream.path] += 1
        sizes = {name: len(part) for name, part in stream.sections.items()}
        self.sections.update(header=len(data) - sum(sizes.values()), **sizes)
        if stream.model is not None:
            self.models[stream.model.hex()] += 1
        self.statics.update(static.sha256 for static in read_statics(stream.sections.get("static")))
        if stream.path == "neural":
            self._add_context(stream)

    def _add_context(self, stream: Stream) -> None:
        """What a neural stream was predicted from; those of version 1 from nothing."""
        from adiabat.codec.frames import leading_axes
        from adiabat.codec.octets import Reader
        from adiabat.codec.plan import Plan

        plan = Plan()
        if stream.version > 1:
            plan = Plan.read(Reader(stream.sections["payload"]), leading_axes(stream.shape))
        places = [place for place, length in enumerate(stream.shape) if length != 1]
        self.orders[None if plan.axis is None else places[plan.axis], plan.reach] += 1
        self.tapered += bool(plan.taper)
