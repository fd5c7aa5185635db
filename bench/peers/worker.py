#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""One contender of the comparison in a process of its own (run.py starts it).

  worker.py CONTENDER WORK_DIR OUTPUT

Loads the model of WORK_DIR, converts it where the contender needs that, runs once, prints {"ready": ...}; then
runs once for each line on standard input and prints {"wall": s, "cpu": s of all threads}; at the end of input
writes its last result to OUTPUT. The same protocol as time_forward.cc.
"""

import contextlib
import importlib.metadata
import json
import os
import sys
import time
import warnings

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file

NAMES = ("hidden_states", "timestep", "encoder_hidden_states")
THREADS = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def diffusers_model(work):
    return WanTransformer3DModel.from_pretrained(os.path.join(work, "model", "transformer")).eval()


class Plain(torch.nn.Module):
    """The model with a tensor as its result, for exporters."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, hidden_states, timestep, encoder_hidden_states):
        return self.model(hidden_states, timestep, encoder_hidden_states, return_dict=False)[0]


def torch_fp32(work, inputs):
    model = Plain(diffusers_model(work))
    return lambda: model(*inputs)


def torch_bf16(work, inputs):
    # save_pretrained keeps fp32; from_pretrained with a dtype spares what diffusers keeps in fp32.
    model = Plain(WanTransformer3DModel.from_pretrained(
        os.path.join(work, "model", "transformer"), torch_dtype=torch.bfloat16).eval())
    x, t, text = inputs
    return lambda: model(x.bfloat16(), t, text.bfloat16()).float()


def torch_int8_dynamic(work, inputs):
    model = diffusers_model(work)
    # The blocks alone, as quantize-int8 does; per-channel weights, the better of torch.ao's two.
    config = torch.ao.quantization.per_channel_dynamic_qconfig
    model.blocks = torch.ao.quantization.quantize_dynamic(model.blocks, {torch.nn.Linear: config})
    plain = Plain(model)
    return lambda: plain(*inputs)


def onnx_file(work, inputs):
    path = os.path.join(work, "model.onnx")
    if not os.path.exists(path):
        torch.onnx.export(Plain(diffusers_model(work)), tuple(inputs), path, input_names=list(NAMES),
                          output_names=["sample"], dynamo=True, external_data=True, verbose=False)
    return path


def onnx_session(path, inputs):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {name: tensor.numpy() for name, tensor in zip(NAMES, inputs)}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def onnxruntime_fp32(work, inputs):
    return onnx_session(onnx_file(work, inputs), inputs)


def onnxruntime_int8_dynamic(work, inputs):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    path = os.path.join(work, "model_int8.onnx")
    quantize_dynamic(onnx_file(work, inputs), path, weight_type=QuantType.QInt8, per_channel=True,
                     op_types_to_quantize=["MatMul", "Gemm"], use_external_data_format=True,
                     # MatMuls of activations (attention) stay fp32 in all contenders.
                     extra_options={"MatMulConstBOnly": True})
    return onnx_session(path, inputs)


def openvino_request(model, inputs):
    import openvino
    compiled = openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    feed = [tensor.numpy() for tensor in inputs]
    return lambda: torch.from_numpy(request.infer(feed)[compiled.output(0)].copy())


def openvino_model(work, inputs):
    import openvino
    return openvino.convert_model(Plain(diffusers_model(work)), example_input=tuple(inputs),
                                  input=[tuple(tensor.shape) for tensor in inputs])


def openvino_fp32(work, inputs):
    return openvino_request(openvino_model(work, inputs), inputs)


def openvino_int8_weights(work, inputs):
    import nncf
    model = nncf.compress_weights(openvino_model(work, inputs), mode=nncf.CompressWeightsMode.INT8_SYM)
    return openvino_request(model, inputs)


CONTENDERS = {f.__name__: f for f in (torch_fp32, torch_bf16, torch_int8_dynamic, onnxruntime_fp32,
                                      onnxruntime_int8_dynamic, openvino_fp32, openvino_int8_weights)}
PACKAGES = ("torch", "diffusers", "onnx", "onnxruntime", "openvino", "nncf")


def main():
    name, work, output = sys.argv[1:]
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    loaded = load_file(os.path.join(work, "inputs.safetensors"))
    inputs = [loaded[key] for key in NAMES]
    with torch.no_grad():
        # Converters talk on standard output, which is the protocol's.
        with contextlib.redirect_stdout(sys.stderr):
            run = CONTENDERS[name](work, inputs)
            result = run()
        versions = {package: importlib.metadata.version(package) for package in PACKAGES}
        print(json.dumps({"ready": versions}), flush=True)
        for _ in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            result = run()
            print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)
    save_file({"sample": result.float().contiguous()}, output)


if __name__ == "__main__":
    main()
