"""SIGINT and SIGTERM wait for the end of a call of the program and for a checkpoint; a second one does not wait."""

import signal
import threading

import pytest

import jaxrl_ft as ft
from jaxrl_ft.training import stretch
from jaxrl_ft.training.resume.interruption import held_back

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class EndedError(Exception):
    """What the handler of whoever calls raises."""


@pytest.fixture(params=NUMBERS, ids=lambda number: number.name)
def number(request):
    """A signal whose handler raises `EndedError`."""
    before = signal.signal(request.param, ended)
    yield request.param
    assert signal.getsignal(request.param) is ended
    signal.signal(request.param, before)


def ended(number, frame):
    raise EndedError(number)


@pytest.fixture
def call(source, tiny, tmp_path, monkeypatch):
    """A function that pretrains the tiny agents with a checkpoint, and sends itself signals in some calls."""

    def pretrain(sent=(), **changes):
        count, took = [0], stretch.Pace.took

        def sending(self, *args):
            took(self, *args)
            count[0] += 1
            for at, number in sent:
                if at == count[0]:
                    signal.raise_signal(number)

        with monkeypatch.context() as patch:
            patch.setattr(stretch.Pace, "took", sending)
            settings = {"algo": tiny.algo, "network": tiny.network, "seeds": tiny.seeds, "seed": 0, **tiny.budget}
            checkpoint = {"checkpoint": tmp_path / "c", "checkpoint_every": 1e6}
            return ft.pretrain(source, **settings, **checkpoint | changes), count[0]

    return pretrain


def kept(tmp_path):
    return sorted(int(folder.name) for folder in (tmp_path / "c").glob("[0-9]*"))


def test_a_call_ends_behind_any_call_of_the_program_and_goes_on_to_the_same_bits(number, call, tmp_path, agents):
    for updates in range(1, 9):
        with pytest.raises(EndedError) as error:
            # Behind an evaluation that is missing, the first call of the program takes no update.
            call([(2 if updates == 5 else 1, number)])
        assert error.value.args == (number,) and kept(tmp_path)[-1] == updates
    # All updates are done, and the last evaluation is not.
    found, count = call()
    assert count == 1 and found == agents and found.digest == agents.digest


def test_a_second_signal_does_not_wait(number, call, tmp_path, monkeypatch):
    with pytest.raises(EndedError):
        call([(2, number), (2, number)])
    assert kept(tmp_path) == []


def test_without_a_checkpoint_it_ends_as_soon(number, call, tmp_path):
    moments = []
    with pytest.raises(EndedError):
        call([(2, number)], checkpoint=None, callback=moments.append)
    assert [moment.updates for moment in moments] == [0, 0] and kept(tmp_path) == []


def test_a_signal_behind_the_last_call_is_not_lost(number):
    with pytest.raises(EndedError), held_back() as interruption:
        signal.raise_signal(number)
        assert interruption.asked


def test_an_error_goes_before_a_signal(number):
    with pytest.raises(ZeroDivisionError), held_back():
        signal.raise_signal(number)
        raise ZeroDivisionError


def test_by_default_ctrl_c_raises_keyboard_interrupt(call, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        call([(2, signal.SIGINT)])
    assert len(kept(tmp_path)) == 1


def test_what_is_ignored_stays_ignored_and_a_thread_holds_nothing_back():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held_back() as interruption:
            signal.raise_signal(signal.SIGTERM)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGTERM, before)
    found = []

    def inside():
        with held_back():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
