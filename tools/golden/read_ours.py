"""Checks that Python reads what src/formats writes.

By hand: npx rolldown tools/golden/write_ours.ts --platform node -o W.mjs && node W.mjs FOLDER, then
python tools/golden/read_ours.py FOLDER (torch, safetensors, numpy; onnxruntime only for the ONNX file).
"""

import json
import pathlib
import sys

import safetensors
import safetensors.torch
import torch

EXPECTED = {
    "weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    "step": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "mask": torch.tensor([True, False]),
    "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
    "wide é": torch.full((300,), 0.5),
}


def check(name, tensors):
    assert set(tensors) == set(EXPECTED), (name, set(tensors))
    for key, value in EXPECTED.items():
        assert tensors[key].dtype == value.dtype and tensors[key].stride() == value.stride(), (name, key)
        assert torch.equal(tensors[key], value), (name, key)
    print(f"{name}: {len(EXPECTED)} tensors equal")


def main():
    folder = pathlib.Path(sys.argv[1])
    check("ours.safetensors", safetensors.torch.load_file(folder / "ours.safetensors"))
    with safetensors.safe_open(folder / "ours.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    tensors = torch.load(folder / "ours.bin", weights_only=True)
    assert list(tensors) == list(EXPECTED)
    check("ours.bin", tensors)
    text = (folder / "ours.json").read_text()
    value = json.loads(text)
    assert isinstance(value["scaling"], float) and isinstance(value["reduction_factor"], int)
    assert json.dumps(value, indent=2, sort_keys=True) == text
    print("ours.json: same text as json.dumps")
    try:
        import onnxruntime
    except ImportError:
        print("ours.onnx: not read, onnxruntime is not installed")
        return
    session = onnxruntime.InferenceSession(folder / "ours.onnx")
    assert session.run(None, {"x": torch.ones(2, 2).numpy()})[0].tolist() == [3.0, 3.0]
    print("ours.onnx: runs")


if __name__ == "__main__":
    main()
