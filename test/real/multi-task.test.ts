import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { highest, normalisedEntropy, uncertaintyScores } from '../../src/batch/index.ts';
import { answerTasks } from '../../src/predict/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { loadMultiTask } from '../../src/train/index.ts';
import { createUncertaintyScorer, hasEntropy } from '../../src/train/multi-task/uncertainty.ts';

/** Numbers of the published PyTorch code, on tiny models with random parameters: see the README beside them. */
const ROOT = '../shared/golden/ca-mtl';
const NAMES = ['mrpc', 'mnli', 'sts-b'];

interface Rows {
  readonly input_ids: number[][];
  readonly token_type_ids: number[][];
  readonly attention_mask: number[][];
  readonly task_id: number[];
}

interface Case {
  readonly case: string;
  readonly task_names: string[];
  readonly batch_size: number;
  readonly candidates: Rows;
  readonly logits: number[][];
  readonly normalised_entropy: number[];
  readonly task_mean: number[];
  readonly max_task_mean: number;
  readonly scores_before_lending: number[];
  readonly scores: number[];
  readonly chosen: number[];
  readonly chosen_sorted: number[];
}

function rowsOf({ input_ids, token_type_ids, attention_mask, task_id }: Rows) {
  return task_id.map((task, i) => {
    const length = (attention_mask[i] as number[]).reduce((a, b) => a + b, 0);
    return {
      task: NAMES[task] as string,
      inputIds: (input_ids[i] as number[]).slice(0, length),
      tokenTypeIds: (token_type_ids[i] as number[]).slice(0, length),
    };
  });
}

describe.skipIf(!existsSync(ROOT))(`several tasks against the published code (skipped when ${ROOT} is absent)`, () => {
  describe.each(['base', 'large'] as const)('%s', (variant) => {
    const folder = `${ROOT}/${variant}`;
    let cases: { batch: Rows; logits: number[][]; uncertainty: Case[] };
    beforeAll(() => {
      cases = JSON.parse(readFileSync(`${folder}/cases.json`, 'utf8'));
    });

    test('rows of token ids that name their task are answered without a tokenizer', async () => {
      const engine = await nodeEngine({ threads: 1 });
      const saved = await loadMultiTask(nodeFiles, folder);
      const answers = await answerTasks(saved, rowsOf(cases.batch), { files: nodeFiles, engine });
      expect(answers).toHaveLength(8);
      answers.forEach(({ logits }, i) => {
        const expected = cases.logits[i] as number[];
        expect(logits).toHaveLength(expected.length);
        expected.forEach((value, k) => void expect(Math.abs(((logits as number[])[k] as number) - value)).toBeLessThan(1e-5));
      });
      await expect(answerTasks(saved, [{ task: 'mnly', inputIds: [1] }], { files: nodeFiles, engine })).rejects.toThrow(
        'rows:1, column "task": found "mnly"; expected one of the tasks that the model has learnt: mrpc, mnli, sts-b. Did you mean "mnli"?',
      );
      await expect(answerTasks(saved, [{ task: 'mnli', text: 'words' }], { files: nodeFiles, engine })).rejects.toThrow(
        'found no tokenizer.json and no vocab.txt',
      );
    });

    test('MT-Uncertainty: entropies, means, scores and chosen rows of all cases', () => {
      expect(cases.uncertainty).toHaveLength(3);
      for (const one of cases.uncertainty) {
        const { task_id: tasks } = one.candidates;
        const entropic = [true, true, false];
        const entropies = one.logits.map((logits, i) => (entropic[tasks[i] as number] ? normalisedEntropy(logits) : 0));
        close(entropies, one.normalised_entropy);
        const candidates = tasks.map((task, i) => ({ task, uncertainty: entropies[i] as number }));
        const without = uncertaintyScores(candidates, entropic, {
          withoutEntropy: { rule: 'published', lender: undefined },
          taskFactor: true,
        });
        close(without.scores, one.scores_before_lending);
        close(
          tasks.map((task) => without.taskMeans[task] as number),
          one.task_mean,
        );
        close([Math.max(...without.taskMeans)], [one.max_task_mean]);
        const lender = one.task_names.indexOf('mrpc');
        const { scores } = uncertaintyScores(candidates, entropic, {
          withoutEntropy: { rule: 'published', lender: lender < 0 ? undefined : lender },
          taskFactor: true,
        });
        close(scores, one.scores);
        const chosen = highest(scores, one.batch_size);
        expect([...chosen].sort((a, b) => a - b)).toEqual(one.chosen_sorted);
        // Equal scores may come in either order.
        close(
          chosen.map((place) => scores[place] as number),
          one.chosen.map((place) => one.scores[place] as number),
        );
      }
    });

    test('the scorer’s forward pass over candidates of all tasks gives the same entropies', async () => {
      const engine = await nodeEngine({ threads: 1 });
      const saved = await loadMultiTask(nodeFiles, folder);
      expect(saved.heads.map(hasEntropy)).toEqual([true, true, false]);
      const scorer = await createUncertaintyScorer(engine, saved, {
        current: () => new Map(),
        fixed: saved.tensors,
        seed: 1,
        deviations: undefined,
      });
      for (const { candidates, normalised_entropy } of cases.uncertainty) {
        const units = rowsOf(candidates).map(({ inputIds, tokenTypeIds }, row) => ({
          row,
          task: candidates.task_id[row] as number,
          encodings: [encoding(inputIds, tokenTypeIds)],
          length: inputIds.length,
          target: undefined,
        }));
        close(await scorer.of(units, 0), normalised_entropy);
      }
      await scorer.release();
    });
  });
});

function encoding(inputIds: readonly number[], tokenTypeIds: readonly number[]) {
  const none = new Int32Array(inputIds.length);
  return {
    inputIds: Int32Array.from(inputIds),
    tokenTypeIds: Int32Array.from(tokenTypeIds),
    specialTokensMask: new Uint8Array(inputIds.length),
    sequenceIds: new Int8Array(inputIds.length),
    wordIds: none,
    offsets: new Int32Array(2 * inputIds.length),
    truncated: 0,
  };
}

function close(got: ArrayLike<number>, expected: readonly number[]): void {
  expect(got.length).toBe(expected.length);
  expected.forEach((value, i) => void expect(Math.abs((got[i] as number) - value)).toBeLessThan(2e-6));
}
