"""Files of weights: their kind is told from the content, and what cannot be read is refused with what was found."""

import io
import random
import subprocess
import sys
import zipfile

import flax.serialization
import ml_dtypes
import msgpack
import numpy as np
import pytest
import safetensors.numpy
from helpers import foreign_files
from helpers.foreign_files import FOLDER, expected, zipped

from jaxrl_ft.store.foreign import containers, zips

ARRAYS = {"actor.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "actor.0.bias": np.zeros(2, np.float64)}


def npz(arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


WRITTEN = {
    "npz": npz(ARRAYS),
    "safetensors": safetensors.numpy.save(ARRAYS),
    "flax msgpack": flax.serialization.msgpack_serialize(ARRAYS),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_kind_is_told_from_the_content(kind, tmp_path):
    path = tmp_path / "weights.of_no_kind"
    path.write_bytes(WRITTEN[kind])
    content = containers.read(path)
    assert content.kind == kind and set(content.tree) == set(ARRAYS)
    for name, leaf in ARRAYS.items():
        np.testing.assert_array_equal(content.tree[name], leaf)


def test_msgpack_has_lists_chunks_scalars_and_bfloat16():
    chunks = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 2, "1": 2},
        "chunks": {"0": np.ones(3), "1": np.zeros(1)},
    }
    tree = {
        "0": {"name": "x", "rate": 0.5},
        "1": [np.float32(2.0), np.arange(3).astype(ml_dtypes.bfloat16)],
        "2": chunks,
    }
    content = containers.parsed("it", flax.serialization.msgpack_serialize(tree))
    assert content.tree["0"] == {"name": "x", "rate": 0.5} and content.tree["1"][0] == 2.0
    np.testing.assert_array_equal(content.tree["1"][1].astype(np.float32), [0, 1, 2])
    np.testing.assert_array_equal(content.tree["2"], [[1, 1], [1, 0]])


def test_torch_files_are_read_as_torch_reads_them():
    content = containers.read(FOLDER / "odd_tensors.pt")
    assert content.kind == "torch file"
    for name in ("double", "half", "brain", "turned", "part", "whole", "scalar", "none", "flags", "parameter"):
        (wanted,) = expected("odd_tensors", name)
        found = content.tree[name]
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(found.astype(np.float32), wanted)
    assert content.tree["nested"]["list"][1:] == [1.5, "text", None]
    assert content.tree["nested"]["list"][0].tolist() == [1, 2]
    kinds = {name: content.tree[name].dtype.name for name in ("double", "half", "brain", "scalar", "flags")}
    assert kinds == {"double": "float64", "half": "float16", "brain": "bfloat16", "scalar": "int64", "flags": "bool"}


def torch_file(pickled, numbers=b"\0" * 16, **others):
    return zipped({"a/data.pkl": pickled, "a/version": b"3", "a/data/0": numbers, **others})


def tensor(size, stride, offset=0, count=4, storage=b"FloatStorage"):
    """A pickle of one tensor, by hand: torch need not be there."""

    def ints(values):
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    identity = b"(X\x07\0\0\0storagectorch\n" + storage + b"\nX\x01\0\0\0" + b"0X\x03\0\0\0cpuI%d\nt" % count
    args = b"(" + identity + b"QI%d\n" % offset + ints(size) + ints(stride) + b"I00\n}t"
    return b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."


def test_a_tensor_by_hand():
    numbers = np.arange(4, dtype=np.float32)
    for order, name in (("<", b"little"), (">", b"big")):
        data = torch_file(tensor((2, 2), (1, 2)), numbers.astype(f"{order}f4").tobytes(), **{"a/byteorder": name})
        np.testing.assert_array_equal(containers.parsed("it", data).tree["w"], [[0, 2], [1, 3]])


SMALL = {"a": b"x" * 100}
REFUSED = {
    "is empty": b"",
    "of no kind that is known (begins with the bytes 00 01 02 03": bytes(range(40)),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + b"\0" * 40,
    "a gzip file": b"\x1f\x8b" + b"\0" * 40,
    "one array of NumPy": b"\x93NUMPY\x01\0",
    "is a pickle": b"\x80\x04K\x01.",
    "zip file of 1 files (a), of no kind": zipped(SMALL),
    "zip file of 0 files (nothing)": zipped({}),
    "cut off or damaged as a zip file": zipped(SMALL)[:60],
    "the name '../a' inside leads out": zipped({"../a": b"x"}),
    "the name '/a' inside leads out": zipped({"/a": b"x"}),
    "the name 'b/../../a' inside leads out": zipped({"b/../../a": b"x"}),
    "'w.npy' is no array of plain numbers": zipped({"w.npy": b"not an array"}),
    "Object arrays cannot be loaded": zipped({"w.npy": foreign_files.object_array()}),
    "damaged as a safetensors file": (20).to_bytes(8, "little") + b"{" + b"}" * 40,
    "damaged as a msgpack file": b"\x82\xa1a\xc1",
    "an entry of kind 9": msgpack.packb({"w": msgpack.ExtType(9, b"")}),
    "bytes for shape (5,)": msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(((5,), "float32", b"\0" * 4)))}),
    "array of type object": msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(((1,), "object", b"\0" * 8)))}),
    "that its 4 numbers do not fill": torch_file(tensor((3, 2), (2, 1))),
    "tensor (2,) that its 4 numbers": torch_file(tensor((2,), (1,), offset=3)),
    "tensor (1000000, 1000000) that": torch_file(tensor((10**6, 10**6), (0, 0))),
    "tensor (-1,)": torch_file(tensor((-1,), (1,))),
    "of the type 'torch.Quantized": torch_file(tensor((2,), (1,), storage=b"QuantizedStorage")),
    "has the byte order b'middle'": torch_file(tensor((2,), (1,)), **{"a/byteorder": b"middle"}),
    "no whole pickle": torch_file(b"\x80\x02}"),
    "'posix.system'": torch_file(b"cposix\nsystem\n(Vtrue\ntR."),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_read_is_refused_with_what_was_found(message):
    with pytest.raises(ValueError) as caught:
        containers.parsed("it", REFUSED[message])
    text = str(caught.value)
    assert text.startswith("it: ") and message in text and "\n" not in text and len(text) < 600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("before_1_6.pt", "before torch 1.6; write it anew with torch: torch.save(torch.load(PATH, weights_only=True)"),
        ("whole_module.pt", "holds 'torch.nn.modules.linear.Linear', not only tensors; save model.state_dict()"),
        ("torchscript.pt", "a program of TorchScript"),
    ],
)
def test_other_files_of_torch_are_refused_with_what_to_do(name, message):
    with pytest.raises(ValueError) as caught:
        containers.read(FOLDER / name)
    assert message in str(caught.value)


def test_sizes_come_before_contents(monkeypatch):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/data.pkl", "w") as file:
        for _ in range(8):
            file.write(b"\0" * 2**20)
    bomb = stream.getvalue()
    assert len(bomb) < 2**14
    monkeypatch.setattr(zips, "MOST_BYTES", 2**22)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(ValueError, match=r"unpacks to 1 files of 8,388,608 bytes; at most 4,096 of 4,194,304"):
        containers.parsed("it", bomb)


def test_a_list_that_holds_itself_many_times_is_refused():
    for times, message in ((28, "more than 131,072 values"), (40, "nested more than 32 deep")):
        with pytest.raises(ValueError, match=message):
            containers.parsed("it", torch_file(b"\x80\x02)" + b"2\x86" * times + b"."))


def test_damaged_files_are_read_or_refused():
    draw = random.Random(1)
    for name in ("odd_tensors.pt", "sb3_ppo.zip", "dqn_jax.cleanrl_model"):
        whole = (FOLDER / name).read_bytes()
        for _ in range(60):
            data = bytearray(whole[: draw.randrange(1, 2 * len(whole))])
            for _ in range(draw.randrange(1, 8)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            try:
                containers.parsed("it", bytes(data))
            except ValueError as error:
                assert "\n" not in str(error)


WATCHED = """
import pickle, sys
from pathlib import Path
from jaxrl_ft.store.foreign import identify, normalizers

folder, seen, armed = Path(sys.argv[1]), [], []
RUNS = ("exec", "import", "pickle.find_class", "os.", "subprocess.", "socket.", "ctypes.", "function.", "code.")

def watch(event, args):
    if armed and event.startswith(RUNS) and event not in ("os.listdir", "os.scandir"):
        seen.append(f"{event} {str(args)[:80]}")

readers = (identify.found_in, normalizers.read)
good = [(identify.found_in, folder / "good.zip"), (identify.found_in, folder / "good.npz")]
for read, path in good:
    read(str(path))
sys.addaudithook(watch)
armed.append(True)
for path in sorted(folder.glob("*")):
    for read in readers:
        try:
            read(str(path))
        except ValueError as error:
            assert "\\n" not in str(error), error
        else:
            assert path.name.startswith("good"), path
assert not seen, seen
pickle.loads((folder / "harm.pkl").read_bytes())
assert any(event.startswith("pickle.find_class") for event in seen) and any(e.startswith("exec") for e in seen), seen
print("watched")
"""


def test_nothing_in_a_file_is_ever_run(tmp_path):
    (tmp_path / "files").mkdir()
    shapes = {"weight": (2, 2), "bias": (2,)}
    actor = {f"actor.{i}.{name}": np.ones(shape) for i in (0, 2) for name, shape in shapes.items()}
    good = {"good.zip": (FOLDER / "sb3_ppo.zip").read_bytes(), "good.npz": npz(actor)}
    for name, data in {**foreign_files.harmful(), **good}.items():
        (tmp_path / "files" / name).write_bytes(data)
    words = [sys.executable, "-c", WATCHED, str(tmp_path / "files")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "watched\n", done.stderr
    # That of the control alone, which the standard library loads at the end.
    assert [path.name for path in tmp_path.iterdir() if path.name != "files"] == ["harm"]
