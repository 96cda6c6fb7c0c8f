"""What the peers share: a model with one trainable method as users of `adapters` build it, its optimiser, memory."""

import logging
import os
import platform
import re

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import adapters  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from adapters import AutoAdapterModel, DoubleSeqBnConfig, LoRAConfig, ParBnConfig, SeqBnConfig  # noqa: E402
from adapters.composition import Fuse  # noqa: E402

transformers.logging.set_verbosity_error()
# add_adapter runs the model once before the new adapter is active, and warns of just that.
logging.getLogger("adapters").setLevel(logging.ERROR)

METHODS = {
    "seq_bn": SeqBnConfig,
    "double_seq_bn": DoubleSeqBnConfig,
    "par_bn": ParBnConfig,
    "lora": LoRAConfig,
    "full": None,
}
NAME = "task"


def build_model(folder, method, outputs, head_layers=2, dropout=0.1, fuse=0):
    """The encoder, one adapter (none for `full`) or a fusion of several, and a classification head; only what the method trains
    requires gradients."""
    model = AutoAdapterModel.from_pretrained(folder, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    model.add_classification_head(NAME, num_labels=outputs, layers=head_layers)
    if fuse:
        names = [f"a{i}" for i in range(fuse)]
        for name in names:
            model.add_adapter(name, config=METHODS[method]())
        model.add_adapter_fusion(names, "dynamic")
        model.train_adapter_fusion(Fuse(*names))
    elif METHODS[method]:
        model.add_adapter(NAME, config=METHODS[method]())
        model.train_adapter(NAME)
    model.active_head = NAME
    return model


def build_optimizer(model, learning_rate, weight_decay):
    """AdamW over everything that is trained, without decay for biases and LayerNorms."""
    norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.LayerNorm) for p in m.parameters()}
    groups = {weight_decay: [], 0.0: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[0.0 if id(parameter) in norms or name.endswith("bias") else weight_decay].append(parameter)
    return torch.optim.AdamW([{"params": p, "weight_decay": d} for d, p in groups.items() if p], lr=learning_rate)


def trainable(model):
    return [p for p in model.parameters() if p.requires_grad]


def peak_megabytes():
    """Highest resident memory of this process so far; None where the system does not say."""
    try:
        with open("/proc/self/status") as status:
            return round(int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) / 1024, 1)
    except OSError:
        return None


def versions():
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "adapters": adapters.__version__,
    }
