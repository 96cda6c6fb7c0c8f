"""Vectors of texts by sentence-transformers, with the weights of the tiny BERT and folders of several kinds.

Writes test/golden/sentences.json: a tokenizer, and for each folder its files beside the encoder's, and vectors.

    python tools/golden/sentences.py    # after encoders.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertTokenizerFast

from common import GOLDEN, numbers, provenance, write_json

WORDS = "how long does it take to the river a cat sat on mat query passage und über".split()
TEXTS = [
    "How long does it take?", "the cat sat on the mat", "", "  a  river \n", "Über the river und the mat on the mat, and on and on and on and on!", "cat", "ÜBER",
]
MODULE = "sentence_transformers.models."


def modules(*others):
    return [{"idx": i, "name": str(i), "path": path, "type": MODULE + kind} for i, (kind, path) in enumerate([("Transformer", ""), ("Pooling", "1_Pooling"), *others])]


def pooling(mode):
    return {"word_embedding_dimension": 32, **{f"pooling_mode_{name}": name == mode for name in ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]}}


FOLDERS = {
    "mean": ({}, "mean_tokens", [], {}),
    "mean, normalised, cut": ({"max_seq_length": 9, "do_lower_case": False}, "mean_tokens", [("Normalize", "2_Normalize")], {}),
    "first, lower case": ({"max_seq_length": 30, "do_lower_case": True}, "cls_token", [], {}),
    "max, normalised": ({"max_seq_length": 30}, "max_tokens", [("Normalize", "2_Normalize")], {}),
    "scaled sum, prompts": ({"max_seq_length": 30}, "mean_sqrt_len_tokens", [], {"prompts": {"query": "query: ", "text": "passage: "}, "default_prompt_name": "text"}),
}


def main():
    torch.set_num_threads(1)
    vocabulary = ["[PAD]", *[f"[unused{i}]" for i in range(99)], "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS[:16]]
    folder = Path(tempfile.mkdtemp())
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), do_lower_case=False, strip_accents=False, model_max_length=40)
    out = {"provenance": provenance("sentences.py", sentence_transformers=sentence_transformers.__version__), "encoder": "bert", "texts": TEXTS, "folders": []}
    for name, (transformer, mode, others, prompts) in FOLDERS.items():
        shutil.copytree(GOLDEN / "encoders" / "bert", folder / name)
        tokenizer.save_pretrained(folder / name)
        files = {"modules.json": modules(*others), "1_Pooling/config.json": pooling(mode), "sentence_bert_config.json": transformer}
        if prompts:
            files["config_sentence_transformers.json"] = prompts
        for path, value in files.items():
            (folder / name / path).parent.mkdir(exist_ok=True)
            (folder / name / path).write_text(json.dumps(value))
        for _, path in others:
            (folder / name / path).mkdir()
        model = SentenceTransformer(str(folder / name), device="cpu")
        vectors = {None: model.encode(TEXTS)}
        for prompt in prompts.get("prompts", {}):
            vectors[prompt] = model.encode(TEXTS, prompt_name=prompt)
        out["folders"].append({"name": name, "files": files, "vectors": [{"prompt": key, "values": numbers(value.tolist())} for key, value in vectors.items()]})
    out["tokenizer"] = {file: (folder / "mean" / file).read_text(encoding="utf-8") for file in ["tokenizer.json", "tokenizer_config.json"]}
    shutil.rmtree(folder)
    write_json(GOLDEN / "sentences.json", out)


if __name__ == "__main__":
    main()
