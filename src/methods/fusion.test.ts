import { describe, expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { type Tensor, tensor } from '../base/tensor.ts';
import {
  add,
  concat,
  gemm,
  gradients,
  input,
  matmul,
  mul,
  nameOf,
  type Program,
  partsOf,
  reduceSum,
  reshape,
  scalar,
  softmax,
  type Value,
} from '../graph/index.ts';
import { planDropout } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { drawFusion, FUSION_PRESETS, type FusionConfig, type FusionInputs, fusionConfig, fusionParameters } from './fusion.ts';
import { type LowRank, product } from './low-rank.ts';

const D = 6;
const ROWS = 5;
const { dynamic } = FUSION_PRESETS as { dynamic: FusionConfig };

/** The formula as it is written: keys and values of every adapter. */
function literal({ config, parameter, query, residual, parts, dropout, sharpness }: FusionInputs): {
  output: Value;
  attention: Value;
} {
  const us = parts.map((part) => (config.residual_before ? add(product(part), residual) : product(part)));
  const q = config.query ? gemm(query, parameter('query.weight'), parameter('query.bias'), { transB: true }) : query;
  const scores = us.map((u) => {
    const key = config.key ? gemm(u, parameter('key.weight'), parameter('key.bias'), { transB: true }) : u;
    return reduceSum(mul(q, key), [1]);
  });
  const dropped = dropout(concat(scores, 1));
  const attention = softmax(sharpness ? mul(dropped, sharpness) : dropped);
  const values = us.map((u) => (config.value ? matmul(u, parameter('value.weight'), { transB: true }) : u));
  const mixed = values.map((value, i) => mul(value, reshape(matmul(attention, column(i, parts.length)), ['N', 1]))).reduce(add);
  return { output: config.residual_before ? mixed : add(mixed, residual), attention };
}

/** [n, 1]: picks one column. */
function column(i: number, n: number): Value {
  return concat(
    Array.from({ length: n }, (_, j) => reshape(scalar(i === j ? 1 : 0), [1, 1])),
    0,
  );
}

const ranks = { equal: [3, 3, 3], different: [2, 5, 3] };
const FIELDS = Object.keys(dynamic).filter((key) => typeof dynamic[key as keyof FusionConfig] === 'boolean') as (keyof FusionConfig)[];

describe.each(Object.entries(ranks))('with %s ranks', (_, widths) => {
  it.each([
    ['dynamic', {}],
    ['static', FUSION_PRESETS.static as FusionConfig],
    ...FIELDS.map((field) => [`${field} turned`, { [field]: !dynamic[field] }] as const),
    ['neither query nor key nor value', { query: false, key: false, value: false }],
  ] as [string, Partial<FusionConfig>][])(
    'the algebra equals the formula, forward and gradients, with dropout on the scores: %s',
    async (_, changed) => {
      const config = fusionConfig(changed);
      const [ours, theirs] = await Promise.all([run(drawFusion, config, widths), run(literal, config, widths)]);
      expect(Object.keys(ours).length).toBeGreaterThan(10);
      for (const [name, { data }] of Object.entries(ours)) {
        const expected = Array.from((theirs[name] as Tensor).data, Number);
        const largest = Math.max(...expected.map(Math.abs));
        expect(largest, name).toBeGreaterThan(1e-6);
        expected.forEach((value, i) => void expect(Math.abs(Number(data[i]) - value) / largest, `${name} ${i}`).toBeLessThan(1e-12));
      }
    },
  );
});

/** Output, attention and every gradient in float64; scores are dropped with p = 0.4, the second adapter drops rows. */
async function run(draw: typeof drawFusion, config: FusionConfig, widths: readonly number[]): Promise<Record<string, Tensor>> {
  const plan = planDropout(D, 3);
  const leaves = new Map<string, Value>();
  const leaf = (name: string, shape: readonly (number | string)[]) => {
    const known = leaves.get(name) ?? input(name, 'float32', shape);
    leaves.set(name, known);
    return known;
  };
  const z = leaf('z', ['N', D]);
  const parts = widths.map((r, i): LowRank => {
    const part: LowRank = {
      input: i === 1 ? leaf('other', ['N', D]) : z,
      down: leaf(`down${i}`, [r, D]),
      downBias: leaf(`downBias${i}`, [r]),
      activation: i === 2 ? 'gelu' : 'tanh',
      up: leaf(`up${i}`, [D, r]),
      upBias: leaf(`upBias${i}`, [D]),
    };
    return i === 1 ? { ...part, keep: leaf('keep', ['N', 1]) } : part;
  });
  const specs = fusionParameters(config, 'f', D);
  const { output, attention } = draw({
    config,
    parameter: (tail) => leaf(`f.${tail}`, specs.find(({ name }) => name === `f.${tail}`)?.shape as readonly number[]),
    query: leaf('query', ['N', D]),
    residual: leaf('residual', ['N', D]),
    parts,
    dropout: (scores) => plan.dropout(scores, 0.4, 'scores'),
    ...(config.temperature && { sharpness: leaf('sharpness', []) }),
  });
  const loss = reshape(reduceSum(mul(output, leaf('weights', ['N', D])), [0, 1]), []);
  const trained = [...leaves].filter(([name]) => name !== 'weights' && name !== 'keep');
  const slopes = gradients(
    loss,
    trained.map(([, value]) => value),
  );
  const program: Program = {
    outputs: { output, attention, ...Object.fromEntries(trained.map(([name], i) => [`d ${name}`, slopes[i] as Value])) },
  };
  const sizes = new Map([['N', ROWS]]);
  const feeds: Record<string, Tensor> = { ...plan.feeds(1, 1, 0, sizes) };
  for (const value of partsOf(program).inputs) {
    const name = nameOf(value) as string;
    if (name in feeds) continue;
    const shape = value.shape.map((dim) => (dim === 'N' ? ROWS : (dim as number)));
    const random = createRandom(9, ...Array.from(name, (letter) => letter.charCodeAt(0)));
    const count = shape.reduce((a, b) => a * b, 1);
    feeds[name] = tensor(
      'float64',
      shape,
      Float64Array.from({ length: count }, (_, i) => (name === 'keep' ? (i % 2) * 2 : 0.5 * random.normal())),
    );
  }
  return (await referenceEngine().compile(program, plan.pools)).run(feeds);
}
