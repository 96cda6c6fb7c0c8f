import { readFileSync } from 'node:fs';
import { AutoAdapterModel } from '../src/auto-adapter-model/auto-adapter-model.ts';
import { type Files, memoryFiles } from '../src/base/files.ts';
import { referenceEngine } from '../src/session/reference.ts';
import { trainWordPiece, wordPieceTokenizerJson } from '../src/text/index.ts';
import { TINY_ENCODER, TINY_TASKS, tinyTask } from './tiny.ts';

export const SIZES = { train: 4, validation: 2, test: 2 };
export const quick = { maxSteps: 2, batchSize: 2, learningRate: 0.01 };

/** An encoder and every kind of task in memory: nothing here touches a disk or ONNX Runtime. */
export function world(): Files {
  const texts = TINY_TASKS.flatMap((name) =>
    tinyTask(name, SIZES).rows.train.flatMap(
      (row) =>
        JSON.stringify(Object.values(row))
          .match(/[a-z]+/g)
          ?.join(' ') ?? '',
    ),
  );
  const { tokenizer, config } = wordPieceTokenizerJson(trainWordPiece(texts, { vocabularySize: 120, lowercase: true }), {
    lowercase: true,
    modelMaxLength: 40,
  });
  const files: Record<string, Uint8Array | string> = {
    'tiny/config.json': readFileSync(`${TINY_ENCODER}/config.json`),
    'tiny/model.safetensors': readFileSync(`${TINY_ENCODER}/model.safetensors`),
    'tiny/tokenizer.json': JSON.stringify(tokenizer),
    'tiny/tokenizer_config.json': JSON.stringify(config),
  };
  for (const name of TINY_TASKS) {
    const { card, rows } = tinyTask(name, SIZES);
    files[`${name}/card.json`] = JSON.stringify(card);
    for (const [split, values] of Object.entries(rows))
      files[`${name}/${split}.jsonl`] = values.map((row) => JSON.stringify(row)).join('\n');
  }
  return memoryFiles(files);
}

export function open(files: Files): Promise<AutoAdapterModel> {
  return AutoAdapterModel.fromPretrained('tiny', { files, engine: referenceEngine() });
}
