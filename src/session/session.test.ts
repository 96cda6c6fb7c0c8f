import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MultigraftError } from '../base/errors.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, int32, type Tensor, tensor, zeros } from '../base/tensor.ts';
import { readSafetensorsIndex, readTensor, writeSafetensors } from '../formats/safetensors.ts';
import {
  add,
  gather,
  gemm,
  gradients,
  input,
  logSoftmax,
  matmul,
  mul,
  neg,
  type Program,
  pick,
  reduceSum,
  reshape,
  scalar,
  tanh,
  type Value,
  weight,
} from '../graph/index.ts';
import { nodeEngine } from './node.ts';
import { referenceEngine } from './reference.ts';
import type { Engine, Feeds, FileWeight } from './session.ts';

const x = input('x', 'float32', ['B', 'S', 2]);
const ids = input('ids', 'int32', ['B']);
const table = input('table', 'float32', [3, 2]);
const rows = gather(table, ids);
const flat = add(reshape(x, ['B*S', 2]), weight('bias', 'float32', [2]));
const PROGRAM: Program = { outputs: { flat, rows, twice: add(ids, ids) } };
const WEIGHTS = new Map([['bias', float32([2], [10, 20])]]);
const FEEDS: Feeds = {
  x: float32([1, 2, 2], [1, 2, 3, 4]),
  ids: int32([1], [2]),
  table: float32([3, 2], [0, 0, 1, 1, 5, 6]),
};
const numbers = (value: Tensor | undefined) => Array.from((value as Tensor).data, Number);

async function problem(action: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await action;
  } catch (error) {
    const { code, message } = error as MultigraftError;
    return { code, message };
  }
  throw new Error('nothing was refused');
}

describe.each([
  ['reference', async () => referenceEngine()],
  ['node', () => nodeEngine({ threads: 1 })],
] as [string, () => Promise<Engine>][])('a session of the %s engine', (name, make) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await make();
  });
  const run = async (feeds: Feeds) => {
    const session = await engine.compile(PROGRAM, WEIGHTS);
    try {
      return await session.run(feeds);
    } finally {
      await session.release();
    }
  };

  it('is known by its name and returns named outputs', async () => {
    expect(engine.name).toBe(name);
    const results = await run(FEEDS);
    expect(Object.keys(results)).toEqual(['flat', 'rows', 'twice']);
    expect(results.flat).toMatchObject({ dtype: name === 'node' ? 'float32' : 'float64', shape: [2, 2] });
    expect(numbers(results.flat)).toEqual([11, 22, 13, 24]);
    expect(numbers(results.rows)).toEqual([5, 6]);
    expect(results.twice).toEqual(int32([1], [4]));
  });

  it('takes many shapes and compiles once', async () => {
    const before = engine.compilations;
    const session = await engine.compile(PROGRAM, WEIGHTS);
    for (const [batch, length] of [
      [1, 1],
      [3, 5],
      [2, 7],
      [3, 5],
      [4, 0],
    ] as [number, number][]) {
      const feeds = { ...FEEDS, x: zeros('float32', [batch, length, 2]), ids: zeros('int32', [batch]) };
      const { flat: result } = await session.run(feeds);
      expect(result?.shape).toEqual([batch * length, 2]);
      expect(numbers(result)).toEqual(Array.from({ length: batch * length * 2 }, (_, i) => 10 + 10 * (i % 2)));
    }
    await session.release();
    expect(engine.compilations - before).toBe(1);
  });

  it.each([
    ['a missing input', { ids: undefined }, 'session.run', "input 'ids': found nothing; expected int32[B]."],
    ['another element type', { ids: float32([1], [2]) }, 'session.run', "input 'ids': found float32; expected int32."],
    ['another rank', { x: zeros('float32', [2, 2]) }, 'graph.shape', "input 'x': found shape [2,2]; expected [B,S,2]."],
    ['another width', { x: zeros('float32', [1, 2, 3]) }, 'graph.shape', "input 'x': found shape [1,2,3]; expected [B,S,2] with B=1, S=2."],
    ['contradictory symbols', { ids: int32([2], [0, 1]) }, 'graph.shape', "input 'ids': found shape [2]; expected [B] with B=1, S=2."],
  ] as [string, Record<string, Tensor | undefined>, string, string][])('refuses %s', async (_, wrong, code, message) => {
    const feeds = Object.fromEntries(Object.entries({ ...FEEDS, ...wrong }).filter(([, value]) => value)) as Feeds;
    expect(await problem(run(feeds))).toEqual({ code, message });
  });

  it('checks a composed dimension even before its symbols are known', async () => {
    const flatIds = input('flatIds', 'int32', ['B*S']);
    const out = { a: gather(table, flatIds), b: tanh(x) };
    const session = await engine.compile({ outputs: out }, new Map());
    const feeds = { ...FEEDS, flatIds: int32([3], [0, 1, 2]) };
    const message = "input 'flatIds': found shape [3]; expected [B*S] with B=1, S=2.";
    expect(await problem(session.run(feeds))).toEqual({ code: 'graph.shape', message });
    expect((await session.run({ ...feeds, flatIds: int32([2], [0, 1]) })).a?.shape).toEqual([2, 2]);
    await session.release();
  });

  it('refuses missing and misshapen weights', async () => {
    expect(await problem(engine.compile(PROGRAM, new Map()))).toEqual({
      code: 'graph.invalid',
      message: "weight 'bias': found nothing; expected a tensor.",
    });
    const wrong = new Map([['bias', zeros('float32', [3])]]);
    expect(await problem(engine.compile(PROGRAM, wrong))).toEqual({
      code: 'graph.shape',
      message: "weight 'bias': found shape [3]; expected [2].",
    });
  });

  it('refuses an index outside of the table', async () => {
    const { code, message } = await problem(run({ ...FEEDS, ids: int32([1], [3]) }));
    expect(code).toBe('session.run');
    expect(message).toMatch(/3/);
  });
});

it('only the reference engine takes float64 for float32', async () => {
  const wide = { ...FEEDS, table: tensor('float64', [3, 2], Float64Array.of(0, 0, 0, 0, 0.1, 0)) };
  const reference = await (await referenceEngine().compile(PROGRAM, WEIGHTS)).run(wide);
  expect(numbers(reference.rows)).toEqual([0.1, 0]);
  const session = await (await nodeEngine({ threads: 1 })).compile(PROGRAM, WEIGHTS);
  expect((await problem(session.run(wide))).message).toBe("input 'table': found float64; expected float32.");
  await session.release();
});

describe('weights in a file', () => {
  const a = float32([2, 3], [1, 2, 3, 4, 5, 6]);
  const b = float32([3], [10, 20, 30]);
  const program = {
    outputs: { y: add(matmul(input('v', 'float32', ['B', 2]), weight('a', 'float32', [2, 3])), weight('b', 'float32', [3])) },
  };
  const feeds = { v: float32([1, 2], [1, -1]) };
  let folder = '';
  let reads: string[] = [];

  beforeAll(async () => {
    folder = await nodeFiles.realPath(await mkdtemp(join(tmpdir(), 'multigraft-')));
    await mkdir(join(folder, 'cache'));
    await mkdir(join(folder, 'snapshot'));
    await writeFile(
      join(folder, 'cache', 'blob'),
      writeSafetensors([
        ['a', a],
        ['b', b],
      ]),
    );
    await writeFile(join(folder, 'snapshot', 'b.safetensors'), writeSafetensors([['b', b]]));
    await symlink(join('..', 'cache', 'blob'), join(folder, 'snapshot', 'model.safetensors'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** The weights of a file, which note every read. */
  async function weightsOf(path: string, inPlace = true): Promise<[string, FileWeight][]> {
    reads = [];
    const { tensors } = await readSafetensorsIndex(nodeFiles, path);
    return [...tensors.values()].map((entry) => {
      const read = async () => {
        reads.push(entry.name);
        return readTensor(nodeFiles, entry);
      };
      return [entry.name, { ...entry, inPlace, read }];
    });
  }
  async function result(weights: [string, FileWeight][]): Promise<number[]> {
    const session = await (await nodeEngine({ threads: 1 })).compile(program, new Map(weights));
    const { y } = await session.run(feeds);
    await session.release();
    return numbers(y);
  }

  it('are used where they lie: nothing is read through JavaScript', async () => {
    expect(await result(await weightsOf(join(folder, 'cache', 'blob')))).toEqual([7, 17, 27]);
    expect(reads).toEqual([]);
  });

  it('behind a symbolic link need the real path', async () => {
    const link = join(folder, 'snapshot', 'model.safetensors');
    const { code, message } = await problem(result(await weightsOf(link)));
    expect(code).toBe('session.run');
    expect(message).toMatch(/compiling a program/);
    expect(await result(await weightsOf(await nodeFiles.realPath(link)))).toEqual([7, 17, 27]);
    expect(reads).toEqual([]);
  });

  it('are read when they cannot be used in place, or lie in a second folder', async () => {
    expect(await result(await weightsOf(join(folder, 'cache', 'blob'), false))).toEqual([7, 17, 27]);
    expect(reads.sort()).toEqual(['a', 'b']);
    const [large, small] = [await weightsOf(join(folder, 'cache', 'blob')), await weightsOf(join(folder, 'snapshot', 'b.safetensors'))];
    expect(await result([...large, ...small])).toEqual([7, 17, 27]);
    expect(reads).toEqual(['b']);
  });

  it('are read by the reference engine', async () => {
    const session = await referenceEngine().compile(program, new Map(await weightsOf(join(folder, 'cache', 'blob'))));
    expect(numbers((await session.run(feeds)).y)).toEqual([7, 17, 27]);
    expect(reads.sort()).toEqual(['a', 'b']);
  });
});

it('a small network learns the same on both engines', async () => {
  const labels = input('labels', 'int32', ['B']);
  const [w, bias] = [input('w', 'float32', [3, 2]), input('b', 'float32', [3])];
  const scores = gemm(gather(table, ids), w, bias, { transB: true });
  const loss = reshape(neg(reduceSum(pick(logSoftmax(scores), labels), [0])), []);
  const trained = { table, w, b: bias };
  const moved = gradients(loss, Object.values(trained)).map((gradient, i) =>
    add(Object.values(trained)[i] as Value, mul(gradient, scalar(-0.5))),
  );
  const program = { outputs: { loss, ...Object.fromEntries(Object.keys(trained).map((name, i) => [name, moved[i] as Value])) } };
  const wave = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7));
  const histories: number[][] = [];
  for (const engine of [referenceEngine(), await nodeEngine({ threads: 1 })]) {
    const session = await engine.compile(program, new Map());
    let feeds: Feeds = { table: float32([3, 2], wave(6)), w: float32([3, 2], wave(6)), b: float32([3], wave(3)) };
    const history: number[] = [];
    for (let step = 0; step < 10; step++) {
      const results = await session.run({ ...feeds, ids: int32([4], [0, 1, 2, 0]), labels: int32([4], [0, 1, 2, 0]) });
      history.push(numbers(results.loss)[0] as number);
      feeds = { table: results.table as Tensor, w: results.w as Tensor, b: results.b as Tensor };
    }
    await session.release();
    histories.push(history);
  }
  const [exact, ours] = histories as [number[], number[]];
  exact.forEach((value, i) => void expect(ours[i]).toBeCloseTo(value, 4));
  expect(exact.at(-1)).toBeLessThan((exact[0] as number) / 4);
});

it('programs over the same weights that differ in names at most are compiled once while one of them lives', async () => {
  const engine = await nodeEngine({ threads: 1 });
  const program = (factor: number, name = 'x') => {
    const x = input(name, 'float32', ['B']);
    return { outputs: { y: add(x, scalar(factor)) } };
  };
  const [first, second, other] = [
    await engine.compile(program(1), new Map()),
    await engine.compile(program(1), new Map()),
    await engine.compile(program(2), new Map()),
  ];
  expect(engine.compilations).toBe(2);
  await first.release();
  await first.release();
  const renamed = await engine.compile(program(1, 'other'), new Map());
  expect(engine.compilations).toBe(2);
  expect((await renamed.run({ other: float32([1], [4]) })).y?.data).toEqual(Float32Array.of(5));
  await renamed.release();
  const { y } = await second.run({ x: float32([1], [1]) });
  expect(y?.data).toEqual(Float32Array.of(2));
  await second.release();
  await other.release();
  await (await engine.compile(program(1), new Map())).release();
  expect(engine.compilations).toBe(3);
});
