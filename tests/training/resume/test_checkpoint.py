"""Laws of a checkpoint's directory: the newest whole one is taken, of the same training alone, by one process."""

import numpy as np
import pytest
from helpers.bundles import NAMES, flipped

import jaxrl_ft as ft
from jaxrl_ft.core.bundle import METADATA, remove_bundle
from jaxrl_ft.training.resume.checkpoint import KEPT, Checkpoint, opened

IDENTITY = {"algo": {"gamma": 0.99}, "seed": 0, "versions": {"jax": "1"}}


def written(path, numbers, identity=IDENTITY):
    path.mkdir(exist_ok=True)
    checkpoint = Checkpoint(path, 0.0, identity)
    for at in numbers:
        checkpoint.write({"x": np.full(3, at)}, {"at": at, "finished": at - 1, "paid": 0})
    return checkpoint


def test_the_newest_comes_back_and_few_are_kept(tmp_path):
    checkpoint = written(tmp_path / "c", [9, 10, 100])
    arrays, position = checkpoint.newest()
    assert arrays["x"].tolist() == [100] * 3 and position == {"at": 100, "finished": 99, "paid": 0}
    assert len(list((tmp_path / "c").iterdir())) == KEPT
    assert Checkpoint(tmp_path, 0.0, IDENTITY).newest() is None


def test_the_best_is_kept_besides_by_whoever_goes_on(tmp_path):
    path = tmp_path / "c"
    first = written(path, [])
    for at, score in enumerate([-np.inf, 3.0, 7.0, 7.0, 5.0, np.nan]):
        first.write({"x": np.zeros(1)}, {"at": at, "finished": at, "paid": 0}, score)
    assert sorted(int(folder.name) for folder in path.iterdir()) == [2, 4, 5]
    second = Checkpoint(path, 0.0, IDENTITY)
    for at, score in ((6, 6.0), (7, 6.5)):
        second.write({"x": np.zeros(1)}, {"at": at, "finished": at, "paid": 0}, score)
    assert sorted(int(folder.name) for folder in path.iterdir()) == [2, 6, 7]
    for folder in sorted(path.iterdir())[1:]:
        remove_bundle(folder)
    assert second.newest()[1]["at"] == 2
    second.write({"x": np.zeros(1)}, {"at": 3, "finished": 3, "paid": 0}, 8.0)
    assert second.newest()[1]["at"] == 3


@pytest.mark.parametrize("flips", [60, pytest.param(5000, marks=pytest.mark.slow)])
def test_of_one_with_a_flipped_bit_the_one_before_is_taken_and_it_is_named(flips, tmp_path):
    checkpoint, generator = written(tmp_path / "c", [1, 2]), np.random.default_rng(2)
    newest = max((tmp_path / "c").iterdir())
    for number in range(flips):
        name = NAMES[number % 3]
        with flipped(newest / name, generator), pytest.warns(UserWarning) as told:
            arrays, position = checkpoint.newest()
        assert position["at"] == 1 and arrays["x"].tolist() == [1.0] * 3
        assert len(told) == 1 and "0000000002" in str(told[0].message) and name in str(told[0].message)
        assert told[0].filename == __file__
    assert checkpoint.newest()[1]["at"] == 2


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"algo": {"gamma": 0.9}}, r"algo\.gamma \(0\.99 there, 0\.9 here\)"),
        ({"seed": 1}, "seed"),
        ({"versions": {"jax": "2"}}, r"versions\.jax"),
        ({"new": 1}, "new"),
    ],
)
def test_another_training_is_refused_by_what_differs(change, name, tmp_path):
    written(tmp_path / "c", [1])
    with pytest.raises(ValueError, match=f"is of another training, which differs in {name}"):
        Checkpoint(tmp_path / "c", 0.0, IDENTITY | change).newest()


def test_it_is_due_after_its_seconds(tmp_path):
    assert written(tmp_path / "a", []).due
    assert not Checkpoint(tmp_path, 1e6, IDENTITY).due


def test_one_whose_score_cannot_be_read_is_not_the_best(tmp_path):
    path = tmp_path / "c"
    written(path, [1, 2])
    for name, text in (("0000000001", b"{"), ("0000000002", b'{"score": "high"}')):
        (path / name / METADATA).write_bytes(text)
    written(path, [3, 4])
    assert sorted(int(folder.name) for folder in path.iterdir()) == [3, 4]


def test_a_directory_is_made_with_its_parents_and_may_be_there(tmp_path):
    for _ in range(2):
        with opened(tmp_path / "deep" / "c", 0.0, IDENTITY) as checkpoint:
            assert checkpoint.newest() is None


def test_one_process_at_a_time(tmp_path):
    first, second = (opened(tmp_path / "c", 0.0, IDENTITY) for _ in range(2))
    with first, pytest.raises(ValueError, match=r"checkpoint: .* in use by another"), second:
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"checkpoint": 3}, "checkpoint: 3 is not allowed"),
        ({"checkpoint": ""}, "checkpoint: '' is not allowed"),
        ({"checkpoint_every": -1.0}, "checkpoint_every: -1.0 is not allowed"),
        ({"checkpoint_every": float("nan")}, "checkpoint_every: nan is not allowed"),
    ],
)
def test_what_is_no_checkpoint_is_refused(arguments, message, source, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.pretrain(source, **arguments)


def test_a_path_below_a_file_is_refused(source, tmp_path, nothing_runs):
    (tmp_path / "file").write_text("mine")
    refused = pytest.raises(ValueError, match=r"checkpoint: .* cannot be used: Not a directory")
    with refused, opened(tmp_path / "file" / "c", 0.0, IDENTITY):
        pass
