import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount, float32, int32, type Tensor } from '../base/tensor.ts';
import { drawEncoder, encoderSpecs, loadEncoder } from '../encoders/index.ts';
import { noDropout, type ParameterSpec, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { FileWeight } from '../session/session.ts';
import { attach, attachPerTask, configureMethod } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const { config, family } = encoder;
const sizes = (hidden: number, heads: number) => ({ ...config, layers: 12, groups: 12, hidden, intermediate: 4 * hidden, heads });
const count = (specs: readonly Pick<ParameterSpec, 'shape'>[]) => specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);

describe('sizes', () => {
  it('on BERT-base, eight tasks make 1.13 times the encoder, as in the paper', () => {
    const base = { ...sizes(768, 12), embedding: 768, vocabulary: 30522, positions: 512 };
    const tasks = Array.from({ length: 8 }, (_, i) => `task${i}`);
    const { parameters: specs } = attachPerTask(configureMethod('pals'), tasks, { encoder: base, family });
    expect(specs.find(({ name }) => name === 'bert.shared_parameters.task3.down.weight')?.shape).toEqual([204, 768]);
    expect(specs.filter(({ name }) => name.includes('.task0.'))).toHaveLength(4 + 12 * 6);
    const encoderNumbers = count(encoderSpecs(family, base));
    expect((encoderNumbers + count(specs)) / encoderNumbers).toBeCloseTo(1.13, 2);
  });

  it('elsewhere they are in proportion, a multiple of the heads', () => {
    const widthOn = (hidden: number, heads: number, text = 'pals') =>
      configureMethod(text).method.parameters(configureMethod(text).config, { encoder: sizes(hidden, heads), family, name: 'x' })[0]
        ?.shape[0];
    expect(widthOn(384, 12)).toBe(108);
    expect(widthOn(128, 2)).toBe(34);
    expect(widthOn(16, 8)).toBe(8);
    expect(widthOn(384, 12, 'pals[heads=4]')).toBe(104);
    expect(() => widthOn(384, 12, 'pals[size=100]')).toThrow('size: found 100; expected a multiple of the 12 heads. Give heads too.');
  });
});

it('reads the tokens of its own sequence alone, and first tokens alone need no others of the last layer', async () => {
  const configured = configureMethod('pals');
  const attachment = attach(configured, { encoder: config, family, name: 'x' });
  const values = new Map(
    attachment.parameters.map(({ name, shape }, i): [string, Tensor] => [
      name,
      float32(
        shape,
        Array.from({ length: elementCount(shape) }, (_, k) => Math.sin(1 + i + k)),
      ),
    ]),
  );
  const encode = async (rows: readonly (readonly number[])[], read: 'all' | 'first'): Promise<number[][]> => {
    const resolve = parameters(() => false);
    const drawing = { ...encoder, parameters: resolve, dropout: noDropout, hooks: attachment.hooks(resolve, noDropout), read };
    const { output } = drawEncoder(drawing);
    const session = await referenceEngine().compile(
      { outputs: { output } },
      new Map<string, Tensor | FileWeight>([...encoder.weights, ...values]),
    );
    const length = Math.max(...rows.map((row) => row.length));
    const flat = rows.flatMap((row) => Array.from({ length }, (_, at) => row[at] ?? 0));
    const shape = [rows.length, length];
    const result = await session.run({
      inputIds: int32(shape, flat),
      tokenTypeIds: int32(shape, new Int32Array(flat.length)),
      attentionMask: float32(
        shape,
        flat.map((id) => Number(id !== 0)),
      ),
    });
    const data = Array.from(result.output?.data ?? [], Number);
    const each = data.length / rows.length;
    return rows.map((_, i) => data.slice(i * each, i * each + config.hidden));
  };
  const rows = [
    [2, 9, 3],
    [2, 7, 8, 5, 3],
  ];
  const together = await encode(rows, 'all');
  const [short] = (await encode(rows.slice(0, 1), 'all')) as [number[]];
  const first = await encode(rows, 'first');
  const worst = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((x, i) => Math.abs(x - (b[i] as number))));
  expect(worst(short, together[0] as number[])).toBeLessThan(1e-9);
  expect(worst(first.flat(), together.flat())).toBeLessThan(1e-9);
});
