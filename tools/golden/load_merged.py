"""Loads a whole model that this package merged: the encoder with transformers, encoder and head with adapters; prints what comes out.

    python tools/golden/load_merged.py FOLDER '[[101, 7, 102], ...]'

Prints {"logits": [[..]], "same": the largest difference of the encoder's output between the two libraries}.
"""

import json
import sys

from adapters import AutoAdapterModel
from transformers import AutoModel

from common import torch


def main(folder, rows):
    encoder = AutoModel.from_pretrained(folder).eval()
    model = AutoAdapterModel.from_pretrained(folder)
    model.load_head(folder, use_safetensors=True)
    model.eval()
    logits, same = [], 0.0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row])
            output = model(input_ids=ids, output_hidden_states=True)
            logits.append(output.logits[0].tolist())
            same = max(same, (encoder(input_ids=ids).last_hidden_state - output.hidden_states[-1]).abs().max().item())
    print(json.dumps({"logits": logits, "same": same}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
