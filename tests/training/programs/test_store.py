"""A program that another process traced is run without a trace, with the same bits, and never in another's place."""

import hashlib
import json
import os
import resource
import zlib
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.rl.rollout import Episodes
from jaxrl_ft.training import devices
from jaxrl_ft.training.per_run import PROGRAMS, Program
from jaxrl_ft.training.programs import code, store
from jaxrl_ft.training.programs.structure import leaf_types

TRACED = []


def example_moments(power, x, unused, y, offset):
    """Numbers of one run, of several structures and sizes."""
    TRACED.append(power)
    sums = Episodes((x["a"] ** power).sum() + offset, jnp.exp(x["a"] * y).sum())
    return {"sums": sums, "row": x["a"] * y, "none": None, "empty": jnp.zeros(0), "key": (y > 0,)}


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A function that returns the program as a new process would have it, with its files in a folder of the test."""
    monkeypatch.setenv(store.SWITCH, "1")
    monkeypatch.setattr(code, "own", lambda function: True)
    for name, answer in {"fingerprint": "1" * 64, "loaded": {"module": "2"}, "unchanged": True}.items():
        monkeypatch.setattr(code, name, lambda answer=answer: answer)
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))

    def start():
        PROGRAMS.pop("example_moments", None)
        TRACED.clear()
        return Program(example_moments, static=("power",), shared=("offset",), donate=("x",))

    yield start
    PROGRAMS.pop("example_moments", None)
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
        assert compilations.names == ["example_moments"]


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
        names = [name for name in compilations.names if name == "example_moments"]
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


def repacked(data, change):
    """A whole file with other content."""
    packed = zlib.compress(change(zlib.decompress(data.partition(b"\n")[2])))
    return hashlib.sha256(packed).hexdigest().encode() + b"\n" + packed


def with_header(data, change):
    """A whole file with another header: name, hashes of modules, and structure of the results."""
    return repacked(
        data,
        lambda content: (
            json.dumps(change(json.loads(content.split(b"\n")[0]))).encode() + content[content.index(b"\n") :]
        ),
    )


DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "other": lambda data: b'{"a": 1}\n',
    "no class": lambda data: repacked(data, lambda content: content.replace(b"rollout:Episodes", b"rollout:episodes")),
    "no program": lambda data: repacked(data, lambda content: content.partition(b"\n")[0] + b"\nabc"),
    "no header": lambda data: repacked(data, lambda content: content.partition(b"\n")[2]),
    "no structure": lambda data: with_header(data, lambda header: [*header[:2], [[1]]]),
    "fewer results": lambda data: with_header(data, lambda header: [*header[:2], "*"]),
    "of another program": lambda data: with_header(data, lambda header: ["0" * 64, *header[1:]]),
    "of a module that was another": lambda data: with_header(
        data, lambda header: [header[0], {"module": "3"}, header[2]]
    ),
}


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
        monkeypatch.setattr(code, "loaded", lambda: None)
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


def test_what_was_used_last_is_kept_of_more_than_there_is_room_for(process, tmp_path, monkeypatch):
    called(process())
    (path,) = files(tmp_path)
    size = path.stat().st_size
    for age in range(4):
        old = tmp_path / store.FOLDER / f"old{age // 2}" / f"program{age}"
        old.parent.mkdir(exist_ok=True)
        old.write_bytes(b"0" * size)
        os.utime(old, (1e9 - age, 1e9 - age))
    os.utime(path, (1e8, 1e8))
    called(process())
    assert not TRACED
    store.drop(tmp_path / store.FOLDER, most=2 * size)
    assert {file.name for file in files(tmp_path)} == {path.name, "program0"}
    assert {folder.name for folder in (tmp_path / store.FOLDER).iterdir()} == {path.parent.name, "old0"}


def test_a_program_of_other_arguments_is_not_run_in_the_place_of_another(process, tmp_path, same):
    """As after a file was copied, its header corrected."""
    first = called(process())
    (path,) = files(tmp_path)
    called(process(), num=9)
    (other,) = {*files(tmp_path)} - {path}
    path.write_bytes(with_header(other.read_bytes(), lambda header: [path.name, *header[1:]]))
    assert same(called(process()), first) and TRACED


def test_a_full_disk_is_no_error_and_leaves_nothing(process, tmp_path):
    called(process())
    (path,) = files(tmp_path)
    path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    known = store.lowered(*form_of_a_call())
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        store.write(path, known, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(path.parent.iterdir())


def test_writers_at_once_leave_a_whole_file_at_every_moment(process, tmp_path):
    form, many, leaves = form_of_a_call()
    known, path = store.lowered(form, many, leaves), tmp_path / store.FOLDER / "1" / form.file()
    store.write(path, known, {})
    with ThreadPoolExecutor(3) as pool:
        writes = [pool.submit(store.write, path, known, {}) for _ in range(30)]
        while not all(write.done() for write in writes):
            assert store.read(path, form, {}) is not None
    for write in writes:
        write.result()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def form_of_a_call():
    """The form of a program of one argument, the function, and its leaves."""
    leaves, structure = jax.tree.flatten((np.ones(3, np.float32),))
    form = store.Form("twice", False, (), structure, leaf_types(leaves), code.settings())
    return form, lambda x: {"twice": 2 * x}, leaves


@pytest.mark.parametrize(("said", "written"), [(None, 1), ("1", 1), ("0", 0), ("", 0)])
def test_commands_store_programs_unless_the_environment_says_otherwise(said, written, process, tmp_path, monkeypatch):
    if said is None:
        monkeypatch.delenv(store.SWITCH)
    else:
        monkeypatch.setenv(store.SWITCH, said)
    store.turn_on()
    called(process())
    assert len(files(tmp_path)) == written
