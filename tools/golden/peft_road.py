"""Golden values of RoAd in `peft`: what a linear gives is turned and scaled in pairs that stand half a group apart.

    python tools/golden/peft_road.py
"""

from peft import RoadConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("road", {
        "one": ("bert", True, RoadConfig(group_size=8, **QV, **HEAD)),
        "two": ("bert", True, RoadConfig(variant="road_2", group_size=4, target_modules=["attention.output.dense", "intermediate.dense"], **HEAD)),
        "four": ("bert", False, RoadConfig(variant="road_4", group_size=16, target_modules=["key", "output.dense"])),
        "roberta": ("roberta", True, RoadConfig(variant="road_4", group_size=2, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, RoadConfig(group_size=32, target_modules=["q_lin", "lin1"], **HEAD)),
        "albert": ("albert", True, RoadConfig(variant="road_2", group_size=8, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "one": ("bert", RoadConfig(group_size=8, **QV, **HEAD)),
        "four": ("roberta", RoadConfig(variant="road_4", group_size=8, target_modules=["query", "output.dense"], **HEAD)),
    }, {
        "road": RoadConfig(**QV),
        "road[variant='road_4', linears='all-linear']": RoadConfig(variant="road_4", target_modules="all-linear"),
    }, seed=404)


if __name__ == "__main__":
    main()
