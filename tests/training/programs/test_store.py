"""A program that another process traced is run without a trace, with the same bits, and never in another's place."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.rl.rollout import Episodes
from jaxrl_ft.training import devices
from jaxrl_ft.training.per_run import PROGRAMS, Program
from jaxrl_ft.training.programs import code, store

TRACED = []


def moments(power, x, unused, y, offset):
    """Numbers of one run, of several structures and sizes."""
    TRACED.append(power)
    sums = Episodes((x["a"] ** power).sum() + offset, jnp.exp(x["a"] * y).sum())
    return {"sums": sums, "row": x["a"] * y, "none": None, "empty": jnp.zeros(0), "key": (y > 0,)}


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A function that returns the program as a new process would have it, with its files in a folder of the test."""
    monkeypatch.setenv(store.SWITCH, "1")
    monkeypatch.setattr(code, "own", lambda function: True)
    for name, answer in {"fingerprint": "1" * 64, "trustworthy": True, "unchanged": True}.items():
        monkeypatch.setattr(code, name, lambda answer=answer: answer)
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))

    def start():
        PROGRAMS.pop("moments", None)
        TRACED.clear()
        return Program(moments, static=("power",), shared=("offset",), donate=("x",))

    yield start
    del PROGRAMS["moments"]
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def cache_hits():
    """One item for each executable found in JAX's compilation cache."""
    found = []

    def note(event, **_):
        if event.endswith("compilation_cache/cache_hits"):
            found.append(event)

    jax.monitoring.register_event_listener(note)
    yield found
    jax.monitoring.unregister_event_listener(note)


def files(tmp_path):
    return sorted(path for path in tmp_path.glob(f"{store.FOLDER}/*/*"))


def runs(num=3):
    rng = np.random.default_rng(0)
    x, y = {"a": rng.normal(size=(num, 3)).astype(np.float32)}, rng.normal(size=num).astype(np.float32)
    return x, np.arange(num), y


def called(program, power=2, num=3):
    return program(power, *runs(num), np.float32(0.5))


@pytest.mark.parametrize("layout", ["fast", "exact"])
def test_the_next_process_traces_nothing_and_has_the_same_bits(layout, process, tmp_path, same, monkeypatch):
    with devices.laid_out(layout):
        first = called(process())
        assert TRACED == [2] and len(files(tmp_path)) == 1
        again = called(process())
        assert not TRACED and same(again, first)
        monkeypatch.setenv(store.SWITCH, "0")
        assert same(called(process()), first) and TRACED


def test_donated_memory_is_taken_and_results_lie_on_all_devices(process):
    for _ in range(2):
        program = process()
        x, unused, y = devices.put(runs(4), 4)
        found = program.placed(2, x, unused, y, np.float32(0.5))
        assert x["a"].is_deleted() and not y.is_deleted()
        assert len(found["row"].sharding.device_set) == jax.device_count()
    assert not TRACED


def test_results_that_are_arguments_again_need_no_other_program(process, compilations):
    for _ in range(2):
        program = process()
        x, unused, y = devices.put(runs(4), 4)
        compilations.reset()
        for _ in range(3):
            found = program.placed(2, x, unused, y, np.float32(0.5))
            x = {"a": found["row"]}
        assert compilations.names == ["moments"]


def test_a_program_asked_what_it_needs_is_the_one_that_runs(process, compilations, cache_hits):
    widths = [devices.layout().width(num) for num in (1, 5, 9)]
    for number in range(2):
        program = process()
        jax.clear_caches()
        compilations.reset()
        cache_hits.clear()
        for width in widths:
            args = devices.put(runs(width), width)
            like = devices.shapes(jax.tree.map(lambda leaf: jax.typeof(leaf[0]), args), width)
            assert program.lower(2, *like, np.float32(0.5)).compile().memory_analysis()
            program.placed(2, *args, np.float32(0.5))
        names = [name for name in compilations.names if name == "moments"]
        assert len(names) == len(set(widths))
        assert len(TRACED) == (len(names) if number == 0 else 0)
    assert len(cache_hits) == len(compilations.names)


@pytest.mark.parametrize("change", ["power", "size", "layout", "setting", "code"])
def test_what_a_trace_depends_on_gives_a_program_of_its_own(change, process, tmp_path, monkeypatch):
    called(process())
    program = process()
    if change == "layout":
        with devices.laid_out("exact"):
            called(program)
    elif change == "setting":
        with jax.default_matmul_precision("highest"):
            called(program)
    elif change == "code":
        monkeypatch.setattr(code, "fingerprint", lambda: "0" * 64)
        called(program)
    else:
        called(program, power=3) if change == "power" else called(program, num=9)
    assert TRACED and len(files(tmp_path)) == 2


DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "other": lambda data: b'{"a": 1}\n',
    "no class": lambda data: signed(data.replace(b"jaxrl_ft.rl.rollout:Episodes", b"jaxrl_ft.rl.rollout:episodes")),
    "no program": lambda data: signed(data[:65] + data[65:].partition(b"\n")[0] + b"\n" + b"abc"),
    "no structure": lambda data: signed(data[:65] + b"[[1]]\n" + data[65:].partition(b"\n")[2]),
    "other program": lambda data: signed(
        data[:65] + data[65:].partition(b"\n")[0] + b"\n" + store.zlib.compress(b"something else that is no program")
    ),
}


def signed(data):
    rest = data.partition(b"\n")[2]
    return store.hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_ignored_and_written_anew(damage, process, tmp_path, same):
    first = called(process())
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert same(called(process()), first) and TRACED
    assert path.read_bytes() != DAMAGES[damage](whole)
    assert same(called(process()), first) and not TRACED


@pytest.mark.parametrize("off", ["switch", "cache", "no directory", "nans", "changed", "not ours"])
def test_where_it_is_off_nothing_is_written(off, process, tmp_path, monkeypatch):
    program = process()
    if off == "switch":
        monkeypatch.setenv(store.SWITCH, "0")
    elif off == "changed":
        monkeypatch.setattr(code, "unchanged", lambda: False)
    elif off == "not ours":
        monkeypatch.setattr(code, "trustworthy", lambda: False)
    settings = {
        "cache": ("jax_enable_compilation_cache", False),
        "no directory": ("jax_compilation_cache_dir", None),
        "nans": ("jax_debug_nans", True),
    }
    name, value = settings.get(off, ("jax_enable_compilation_cache", True))
    before = jax.config.values[name]
    jax.config.update(name, value)
    try:
        called(program)
    finally:
        jax.config.update(name, before)
    assert TRACED and not files(tmp_path)


def test_a_disk_that_takes_nothing_is_no_error(process, tmp_path):
    (tmp_path / store.FOLDER).write_text("a file in the place of the folder")
    assert called(process())["row"].shape == (3, 3) and TRACED


def test_programs_of_code_to_which_none_was_added_for_longest_are_removed(process, tmp_path):
    for age in range(store.VERSIONS_KEPT + 2):
        folder = tmp_path / store.FOLDER / f"old{age}"
        folder.mkdir(parents=True)
        (folder / "program").write_bytes(b"")
        os.utime(folder, (1e9 - age, 1e9 - age))
    called(process())
    kept = {path.name for path in (tmp_path / store.FOLDER).iterdir()}
    assert kept == {f"old{age}" for age in range(store.VERSIONS_KEPT - 1)} | {store.directory().name}
