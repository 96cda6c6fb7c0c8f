import { beforeAll, expect, it } from 'vitest';
import { forward } from '../../../test/golden/forward.ts';
import { startValues } from '../../../test/start-values.ts';
import { nodeFiles } from '../../base/files-node.ts';
import { float32, type Tensor } from '../../base/tensor.ts';
import { type Encoder, loadEncoder } from '../../encoders/index.ts';
import { attachCaMtl, caMtlConfig } from '../../methods/index.ts';
import { createHead, type Head, type Unit } from '../../objectives/index.ts';
import { nodeEngine } from '../../session/node.ts';
import type { SavedCaMtl } from './ca-mtl-folder.ts';
import { extendCaMtl } from './extend-ca-mtl.ts';
import type { FirstValues } from './method.ts';
import { taskFeatures } from './task-features.ts';

const head = (name: string, num_labels: number): Head => createHead(name, { head_type: 'classification', num_labels }, 'test');
const HEADS = [head('first', 2), head('second', 3), head('third', 4)];
const TABLE = 'bert.encoder.task_type_embeddings.weight';

let encoder: Encoder;
let saved: SavedCaMtl;

beforeAll(async () => {
  encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const context = { encoder: encoder.config, family: encoder.family, tasks: 3 };
  const attachment = attachCaMtl(caMtlConfig('ca_mtl_base', { max_length: 8 }), context);
  saved = { encoder, attachment, heads: HEADS, tensors: await startValues({ encoder, attachment, heads: HEADS }, 1), training: [] };
});

/** A feature that points mostly along one axis, and a little along all. */
const along = (axis: number, length = 1): Tensor =>
  float32(
    [32],
    Array.from({ length: 32 }, (_, i) => length * (i === axis ? 2 : 0.1 * Math.cos(i))),
  );
const FEATURES = new Map([
  ['first', along(0)],
  ['second', along(1)],
  ['third', along(2)],
]);

/** The rows of the task embeddings, by task id. */
function rowsOf({ parameters }: FirstValues): number[][] {
  const [name, { shape, data }] = [...parameters].find(([key]) => key.endsWith('task_type_embeddings.weight')) as [string, Tensor];
  expect(name).toMatch(TABLE.split('.').at(-2) as string);
  const [tasks, width] = shape as [number, number];
  return Array.from({ length: tasks }, (_, i) => Array.from((data as Float32Array).slice(i * width, (i + 1) * width)));
}

const added = (given: SavedCaMtl, options: { like?: string }, heads: Head[], features: Tensor[]): FirstValues =>
  extendCaMtl(given, options).initial?.(heads, features) as FirstValues;

it('a new task begins as the one whose rows are most alike, whatever their length', () => {
  const given = { ...saved, features: FEATURES };
  const first = added(given, {}, [head('a', 2), head('b', 2)], [along(2, 5), along(1, 0.2)]);
  expect(first.begins.map(({ as, by }) => [as, by])).toEqual([
    ['third', 'features'],
    ['second', 'features'],
  ]);
  const rows = rowsOf(first);
  expect(rows).toHaveLength(5);
  expect([rows[3], rows[4]]).toEqual([rows[2], rows[1]]);
  expect(rows[2]).not.toEqual(rows[1]);
  const { third, first: other } = first.begins[0]?.similarities ?? {};
  expect(third).toBeCloseTo(1, 6);
  expect(other).toBeLessThan(0.5);
});

it('the task that was asked for wins, and the head decides where rows are not known of every task', () => {
  const asked = added({ ...saved, features: FEATURES }, { like: 'first' }, [head('a', 4)], [along(2)]);
  expect(asked.begins).toMatchObject([{ as: 'first', by: 'choice', similarities: { third: expect.closeTo(1) } }]);
  const rows = rowsOf(asked);
  expect(rows[3]).toEqual(rows[0]);
  expect(added(saved, {}, [head('a', 4)], [along(0)]).begins).toEqual([{ as: 'third', by: 'head' }]);
  const some = new Map([...FEATURES].slice(0, 2));
  expect(added({ ...saved, features: some }, {}, [head('a', 3)], [along(0)]).begins).toEqual([{ as: 'second', by: 'head' }]);
});

it('the feature of a task is the mean over rows of the mean over their tokens', async () => {
  const engine = await nodeEngine({ threads: 1 });
  const ids = [
    [2, 9, 8, 7, 3],
    [2, 11, 3],
    [2, 12, 13, 14, 15, 16, 3],
  ];
  const units = ids.map((row, i) => unitOf(row, i));
  const means: number[][] = [];
  for (const row of ids) {
    const alone = { inputIds: [row], attentionMask: [row.map(() => 1)] };
    const { hidden } = await forward(engine, { encoder, name: 'x', tensors: new Map() }, alone);
    const at = (token: number, i: number) => Number(hidden?.data[token * 32 + i]);
    means.push(Array.from({ length: 32 }, (_, i) => row.reduce((sum, _token, token) => sum + at(token, i), 0) / row.length));
  }
  const [all, last] = await taskFeatures(engine, encoder, new Map(), [units, units.slice(2)]);
  for (let i = 0; i < 32; i++) {
    expect(all?.data[i]).toBeCloseTo(means.reduce((sum, mean) => sum + (mean[i] as number), 0) / 3, 5);
    expect(last?.data[i]).toBeCloseTo(means[2]?.[i] as number, 5);
  }
  const name = 'bert.encoder.layer.2.output.LayerNorm.bias';
  const moved = await taskFeatures(engine, encoder, new Map([[name, float32([32], new Float32Array(32).fill(9))]]), [units]);
  expect(Math.abs(Number(moved[0]?.data[0]) - Number(all?.data[0]))).toBeGreaterThan(1);
});

function unitOf(ids: number[], row: number): Unit {
  const inputIds = Int32Array.from(ids);
  const encoding = { inputIds, tokenTypeIds: new Int32Array(ids.length) } as unknown as Unit['encodings'][number];
  return { row, encodings: [encoding], length: ids.length, target: undefined };
}
