"""Properties computed once, without a lock."""

from __future__ import annotations

import threading

from adiabat.codec.cached import cached_property


class Field:
    def __init__(self, gate=None):
        self.gate, self.count = gate, 0

    @cached_property
    def spread(self):
        """How far it goes."""
        self.count += 1
        if self.gate is not None:
            assert self.gate.wait(30)
        return [self.count]


def test_it_is_computed_once_for_each_instance():
    one, other = Field(), Field()
    assert one.spread is one.spread
    assert one.spread is not other.spread
    assert (one.count, other.count) == (1, 1)
    assert Field.spread.__doc__ == "How far it goes."


def test_an_instance_does_not_wait_for_another():
    """As with functools of Python 3.11, whose one lock a forked process would find held for ever."""
    gate = threading.Event()
    slow = threading.Thread(target=lambda: Field(gate).spread)
    slow.start()
    try:
        quick = threading.Thread(target=lambda: Field().spread)
        quick.start()
        quick.join(10)
        assert not quick.is_alive()
    finally:
        gate.set()
        slow.join(10)
