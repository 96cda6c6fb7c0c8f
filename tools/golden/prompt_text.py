"""Golden values of prompts that start from a text, by Python's `adapters`.

Writes test/golden/prompt-text.json: the first values of prompts over the tiny encoders. These have no tokenizer: one stands in that
gives the same token ids for every text (those of tokenizers are compared in test/golden/text).

    OMP_NUM_THREADS=1 python tools/golden/prompt_text.py
"""

from unittest import mock

from adapters import PromptTuningConfig
from adapters.methods import prompt_tuning

from common import FAMILIES, GOLDEN, load_encoder, numbers, provenance, write_json

IDS = [101, 5, 17, 9, 102]
LENGTHS = {"cut": 3, "repeated": 12}


class Tokenizer:
    from_pretrained = classmethod(lambda cls, _: cls())

    def __call__(self, text):
        return {"input_ids": list(IDS)}


def main():
    cases = {}
    with mock.patch.object(prompt_tuning, "AutoTokenizer", Tokenizer):
        for family in FAMILIES:
            for name, length in LENGTHS.items():
                model = load_encoder(family, adapter_model=True)
                model.config.tokenizer_name_or_path = "none"
                model.add_adapter("x", config=PromptTuningConfig(prompt_length=length, prompt_init="from_string", prompt_init_text="Is it?"))
                ((key, value),) = [(k, p) for k, p in model.named_parameters() if "prompt_embedding" in k]
                cases[f"{family}-{name}"] = {"encoder": family, "length": length, "key": key, "shape": list(value.shape), "sum": numbers(value.double().sum(1))}
    write_json(GOLDEN / "prompt-text.json", {
        "provenance": provenance("prompt_text.py"),
        "note": "sum: of each vector of the prompt.",
        "ids": IDS,
        "cases": cases,
    })


if __name__ == "__main__":
    main()
