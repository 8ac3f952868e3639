"""The ONNX graph in onnxruntime is the policy, for batches of any size."""

import numpy as np
import pytest
from helpers.exported import KINDS, assert_same, kind

from jaxrl_ft.deploy.formats.onnx_file import ACTION, OBS, OUTPUTS, model

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def session(name):
    found = model(kind(name)[1], "title")
    return found, runtime.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", KINDS)
def test_the_graph_gives_the_policys_actions(name):
    found, running = session(name)
    obs, expected = kind(name)[2:]
    action, outputs = running.run([ACTION, OUTPUTS], {OBS: obs})
    assert_same(name, action.astype(expected.dtype), outputs)
    assert found.doc_string == "" and found.graph.doc_string == "title"
    assert running.get_inputs()[0].shape == ["batch", obs.shape[1]]
    alone = running.run([OUTPUTS], {OBS: obs[:1]})[0]
    np.testing.assert_allclose(alone, outputs[:1], rtol=1e-5, atol=1e-5)
