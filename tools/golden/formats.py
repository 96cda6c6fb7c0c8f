"""Writes test/golden/formats/: small files made by Python libraries, and formats.json with what they hold.

Run: python tools/golden/formats.py (torch, safetensors, numpy; pyarrow only for the Parquet files, which are left
alone when it is absent), and python tools/golden/formats.py legacy for the files of torch.save before PyTorch 1.6 and legacy.json.
"""

import collections
import json
import os
import pathlib
import pickle
import platform
import struct
import sys
import zipfile

import numpy
import safetensors
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "test" / "golden" / "formats"
SEED = 20260
WIDE = {torch.bfloat16, torch.float16}


def values(tensor):
    tensor = tensor.detach()
    flat = (tensor.view(torch.int16).to(torch.int32) & 0xFFFF) if tensor.dtype in WIDE else tensor
    return flat.flatten().to(torch.float64 if flat.is_floating_point() else torch.int64).tolist()


def expected(tensors):
    return {
        name: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape), "values": values(t)}
        for name, t in tensors.items()
    }


def all_dtypes():
    base = torch.randn(3, 4)
    tensors = {
        "weight": base,
        "double": base[:2].double(),
        "half": base.half(),
        "brain": base.bfloat16(),
        "long": torch.tensor([[1, -2], [3, 2**40]]),
        "int": torch.tensor([1, -(2**31)], dtype=torch.int32),
        "short": torch.tensor([-5, 7, 9], dtype=torch.int16),
        "char": torch.tensor([-1, 0, 1], dtype=torch.int8),
        "byte": torch.tensor([0, 255, 3], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
    }
    return tensors


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def main():
    torch.manual_seed(SEED)
    FOLDER.mkdir(parents=True, exist_ok=True)
    holds = {}

    tensors = all_dtypes()
    safetensors.torch.save_file(tensors, FOLDER / "dtypes.safetensors", metadata={"format": "pt"})
    holds["dtypes.safetensors"] = expected(tensors)

    def save(name, value, tensors):
        torch.save(value, FOLDER / name)
        holds[name] = expected(tensors)

    save("dtypes.pt", tensors, tensors)
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    save("state_dict.pt", layer.state_dict(), layer.state_dict())
    matrix = torch.arange(24.0).reshape(2, 3, 4)
    views = collections.OrderedDict(
        transposed=matrix.transpose(0, 2),
        every_other=matrix[:, :, ::2],
        tail=matrix[1],
        whole=matrix,
        alias=matrix,
        expanded=torch.tensor([1.0, 2.0]).expand(3, 2),
        column=torch.arange(6.0).reshape(3, 2)[:, 1:],
    )
    save("views.pt", views, views)
    parameters = {"p": torch.nn.Parameter(torch.randn(2, 2)), "epoch": 3, "note": "text", "rate": 0.5, "none": None, "flag": True}
    save("parameters.pt", parameters, {"p": parameters["p"]})

    for name, evil in {"evil_system.pt": Evil(os.system, "true"), "evil_eval.pt": Evil(eval, "1 + 1")}.items():
        torch.save({"weight": torch.zeros(2), "bomb": evil}, FOLDER / name)
    torch.save({"outer": {"inner": torch.zeros(1)}}, FOLDER / "nested.pt")
    repack("parameters.pt", "compressed.pt", compression=zipfile.ZIP_DEFLATED)
    repack("parameters.pt", "big_endian.pt", change={"byteorder": b"big"})
    repack("parameters.pt", "protocol4.pt", change={"data.pkl": pickle.dumps({"a": 1}, protocol=4)})
    descriptors("parameters.pt", "descriptors.pt")
    zip64("parameters.pt", "zip64.pt")
    for name in ("descriptors.pt", "zip64.pt"):
        holds[name] = holds["parameters.pt"]

    pyarrow = parquet(holds)
    provenance = {
        "generator": "tools/golden/formats.py",
        "seed": SEED,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
        "numpy": numpy.__version__,
        "pyarrow": pyarrow,
    }
    (FOLDER / "formats.json").write_text(json.dumps({"provenance": provenance, "files": holds}, indent=1) + "\n")


def repack(source, target, compression=zipfile.ZIP_STORED, change=None):
    with zipfile.ZipFile(FOLDER / source) as old, zipfile.ZipFile(FOLDER / target, "w", compression) as new:
        for info in old.infolist():
            name = info.filename.split("/", 1)[1]
            new.writestr(info.filename, (change or {}).get(name, old.read(info)))


class Unseekable:
    """A stream without seek makes zipfile write sizes in data descriptors after each entry."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        return self.file.write(data)

    def flush(self):
        self.file.flush()


def descriptors(source, target):
    with zipfile.ZipFile(FOLDER / source) as old, open(FOLDER / target, "wb") as file:
        with zipfile.ZipFile(Unseekable(file), "w") as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))


def zip64(source, target):
    """Sizes, offsets and the directory's place in 64-bit fields, as beyond 4 GB, in a small file."""
    limit, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, 4
    try:
        with zipfile.ZipFile(FOLDER / source) as old, zipfile.ZipFile(FOLDER / target, "w") as new:
            for info in old.infolist():
                with new.open(info.filename, "w", force_zip64=True) as entry:
                    entry.write(old.read(info))
    finally:
        zipfile.ZIP64_LIMIT = limit


def parquet(holds):
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        old = json.loads((FOLDER / "formats.json").read_text())
        holds.update({name: rows for name, rows in old["files"].items() if name.endswith(".parquet")})
        return old["provenance"]["pyarrow"]
    rows = {
        "text": ["one", "two", None, "vier é"],
        "label": [0, 1, 2, 3],
        "score": [0.5, 1.5, -2.0, 1e10],
        "good": [True, False, True, None],
        "tokens": [["a", "b"], [], ["c"], ["d", "e", "f"]],
        "tags": [[1, 2], [], None, [4, None, 6]],
    }
    table = pyarrow.table(rows)
    pyarrow.parquet.write_table(table, FOLDER / "rows.parquet", compression="snappy", row_group_size=3)
    pyarrow.parquet.write_table(table, FOLDER / "rows_zstd.parquet", compression="zstd")
    plain = {"text": rows["text"], "label.id": rows["label"], "tags": rows["tags"]}
    pyarrow.parquet.write_table(pyarrow.table(plain), FOLDER / "plain.parquet", compression="none", use_dictionary=False)
    pyarrow.parquet.write_table(pyarrow.table({"when": pyarrow.array([0], pyarrow.timestamp("ms"))}), FOLDER / "dates.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"deep": [{"a": 1}]}), FOLDER / "nested.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"wide": [2**60]}), FOLDER / "wide.parquet")
    pyarrow.parquet.write_table(table, FOLDER / "version2.parquet", data_page_version="2.0")
    holds["rows.parquet"] = rows
    holds["plain.parquet"] = plain
    return pyarrow.__version__


def legacy():
    """torch.save as it was before version 1.6. What today's version of that form never writes (parts of storages, the first way of
    rebuilding a tensor) is pickled here by the documented layout."""
    torch.manual_seed(SEED)
    holds = {}

    def save(name, value, tensors):
        torch.save(value, FOLDER / name, _use_new_zipfile_serialization=False)
        holds[name] = expected(tensors)

    tensors = all_dtypes()
    save("legacy_dtypes.pt", tensors, tensors)
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    save("legacy_state_dict.pt", layer.state_dict(), layer.state_dict())
    matrix = torch.arange(24.0).reshape(2, 3, 4)
    views = {"transposed": matrix.transpose(0, 2), "tail": matrix[1], "whole": matrix, "alias": matrix}
    save("legacy_views.pt", views, views)
    parameters = {"p": torch.nn.Parameter(torch.randn(2, 2)), "epoch": 3, "none": None}
    save("legacy_parameters.pt", parameters, {"p": parameters["p"]})
    save("legacy_evil.pt", {"weight": torch.zeros(2), "bomb": Evil(os.system, "true")}, {})
    del holds["legacy_evil.pt"]
    by_hand()
    numbers = torch.arange(6.0)
    holds["legacy_by_hand.pt"] = expected({"part": numbers[2:].reshape(2, 2), "old": numbers[:3]})
    (FOLDER / "legacy.json").write_text(json.dumps({"provenance": {"generator": "tools/golden/formats.py legacy", "seed": SEED, "torch": torch.__version__}, "files": holds}, indent=1) + "\n")


def by_hand():
    class Named:
        def __init__(self, *key):
            self.key = key

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value.key if isinstance(value, Named) else None

    class Call:
        def __init__(self, function, *args):
            self.call = (function, args)

        def __reduce__(self):
            return self.call

    storage = Named("storage", torch.FloatStorage, "17", "cpu", 6, ("18", 2, 4))
    whole = Named("storage", torch.FloatStorage, "17", "cpu", 6, None)
    value = {
        "part": Call(torch._utils._rebuild_tensor_v2, storage, 0, (2, 2), (2, 1), False, collections.OrderedDict()),
        "old": Call(torch._utils._rebuild_tensor, whole, 0, (3,), (1,)),
    }
    with open(FOLDER / "legacy_by_hand.pt", "wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}, file, protocol=2)
        Pickler(file, protocol=2).dump(value)
        pickle.dump(["17"], file, protocol=2)
        file.write(struct.pack("<q6f", 6, *range(6)))
    read = torch.load(FOLDER / "legacy_by_hand.pt", weights_only=True)
    assert read["part"].tolist() == [[2.0, 3.0], [4.0, 5.0]] and read["old"].tolist() == [0.0, 1.0, 2.0]


if __name__ == "__main__":
    legacy() if sys.argv[1:] == ["legacy"] else main()
