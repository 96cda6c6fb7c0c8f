#!/usr/bin/env bash
# Makes the embedded encoder: bash tools/seedling/make.sh DATA TEACHER OUTPUT [flags of pretrain]
# DATA holds the task folders named below (texts under licences that allow it; assets/seedling/README.md lists them),
# TEACHER a BERT whose hidden states are the targets. Two stages: from random numbers into OUTPUT-first, and from there, at a
# lower rate and in another order, into OUTPUT. Stop it with Ctrl-C; the same command goes on where it was.
set -euo pipefail
data=$1 teacher=$2 output=$3
shift 3
learn=(argument_stance banking77 boolq clinc150 ewt_pos hellaswag mnli openbookqa sms_spam snips_intent squad winogrande wnut17)
flags=()
for task in "${learn[@]}"; do flags+=(--data "$data/$task"); done
for task in "$data"/*/; do flags+=(--unseen "${task%/}"); done

stage() {
  local folder=$1 resume=()
  shift
  if [[ -f $folder/model.safetensors ]]; then return; fi
  if [[ -f $folder/state.safetensors ]]; then resume=(--resume); fi
  node "$(dirname "$0")/../../dist/cli/main.js" pretrain "${flags[@]}" --teacher "$teacher" --output "$folder" \
    --vocabulary 8000 --hidden 192 --heads 6 --layers 5 --intermediate 768 --max-length 48 --positions 256 \
    --steps 10000 --batch-size 32 --masking 0.1 "$@" "${resume[@]}"
}

stage "$output-first" --learning-rate 0.001 --warmup 400 --seed 1 "$@"
stage "$output" --init "$output-first" --learning-rate 0.0008 --warmup 300 --seed 2 "$@"
