"""How long compilation takes of a command, how many programs come of it, and what makes it shorter."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import jax

RARE = (50_000, 20, 10)
"""Thresholds of Python's garbage collector for a command: tracing makes a million objects that stay, and to look
through them as often as is usual takes 3% of a short command."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely while the context lasts."""
    before = gc.get_threshold()
    gc.set_threshold(*RARE)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Compilation:
    """Seconds in which JAX traced, lowered or compiled, nested spans counted once, and the programs that came of it."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []
        self.programs: Counter[str] = Counter()
        """how often a program of each name was compiled or read from the cache"""
        self.cache_hits = 0
        """how many were read from the cache"""

    @property
    def seconds(self) -> float:
        """The length of the union of all spans so far."""
        total, until = 0.0, float("-inf")
        for start, end in sorted(self._spans):
            total += max(end - max(start, until), 0.0)
            until = max(until, end)
        return total

    def note(self, event: str, start_time: float, end_time: float, **kwargs: str | int) -> None:
        """Count a time span that JAX reports, if it is one of compilation."""
        if "/compile/" in event:
            self._spans.append((start_time, end_time))
        if event.endswith("backend_compile_duration"):
            self.programs[str(kwargs.get("fun_name")).removeprefix("jit(").removesuffix(")")] += 1

    def note_event(self, event: str, **kwargs: str | int) -> None:
        """Count an event that JAX reports, if it is a hit of the compilation cache."""
        self.cache_hits += event == "/jax/compilation_cache/cache_hits"

    def summary(self) -> str:
        """How many programs were compiled or read from the cache, in words."""
        training, others = self.programs["stretch"], self.programs.total() - self.programs["stretch"]
        cache = jax.config.values["jax_compilation_cache_dir"]
        hits = f"; {self.cache_hits} came from the cache in {cache}" if cache else ""
        return f"{training} training program{'s' * (training != 1)} and {others} others{hits}"

    @contextmanager
    def listening(self) -> Iterator["Compilation"]:
        """Count what JAX reports while the context lasts."""
        jax.monitoring.register_event_time_span_listener(self.note)
        jax.monitoring.register_event_listener(self.note_event)
        try:
            yield self
        finally:
            jax.monitoring.unregister_event_time_span_listener(self.note)
            jax.monitoring.unregister_event_listener(self.note_event)
