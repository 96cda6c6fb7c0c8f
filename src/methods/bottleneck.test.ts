import { expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount, float32, type Tensor } from '../base/tensor.ts';
import { loadEncoder, type ResidualSite } from '../encoders/index.ts';
import { add, input, type Value } from '../graph/index.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { bindAdapter, readerOf } from './adapter.ts';
import { hooksOf } from './hooks.ts';
import { configureMethod } from './registry.ts';

const bert = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const modernBert = await loadEncoder(nodeFiles, 'test/golden/encoders/modernbert');
const bind = (text: string, { config, family } = modernBert) => bindAdapter(configureMethod(text), { encoder: config, family, name: 'a' });

/** What stands at a residual whose encoder normed the residual before the sub-block, for h = 1, what was read 10, the residual 100. */
async function closed(text: string): Promise<{ out: number; read: number }> {
  const row = (name: string) => input(name, 'float32', ['N', 32]);
  const [h, x, residual] = [row('h'), row('x'), row('residual')];
  const rows = { batch: 'N', length: 1, first: 0 } as const;
  const site: ResidualSite = {
    ...{ ...rows, all: rows, layer: 0, module: 0, input: residual, mask: h, own: h, place: 'output' as const, h, x, residual },
    norm: (sum) => sum,
    join: (value) => add(value, residual),
  };
  const adapter = bind(text);
  const acts = adapter.acts(
    readerOf(
      adapter.parameters,
      parameters(() => false),
    ),
    noDropout,
  );
  const outputs = {
    out: hooksOf(acts).residual?.(site) as Value,
    read: acts.residual?.(site)?.open?.read({ h }).state.h as Value,
  };
  // The up-projection is zero and its bias 1000: the adapter adds 1000.
  const filled = (shape: readonly number[], value: number) => float32(shape, new Float32Array(elementCount(shape)).fill(value));
  const values = adapter.parameters.map(({ name, shape }): [string, Tensor] => {
    return [name, filled(shape, name.endsWith('adapter_up.bias') ? 1000 : name.endsWith('scaling') ? 1 : 0)];
  });
  const session = await referenceEngine().compile({ outputs }, new Map(values));
  const results = await session.run({ h: filled([1, 32], 1), x: filled([1, 32], 10), residual: filled([1, 32], 100) });
  return { out: Number(results.out?.data[0]), read: Number(results.read?.data[0]) };
}

it.each([
  // With original_ln_after the residual is added at the end; what is read is the sub-block's output and what it read itself.
  ['seq_bn', { read: 11, out: 1101 }],
  ['seq_bn[original_ln_before=False]', { read: 1, out: 1101 }],
  ['seq_bn[residual_before_ln=False]', { read: 11, out: 1111 }],
  ['par_bn[scaling=1.0]', { read: 10, out: 1101 }],
  // Without it the whole sum is read, and the adapter's own residual is that sum.
  ['adapter_plus[stochastic_depth=0.0]', { read: 101, out: 1101 }],
])('%s where the encoder norms before its sub-blocks', async (text, expected) => {
  expect(await closed(text)).toEqual(expected);
});

it.each(['seq_bn[original_ln_after=False]', 'par_bn[original_ln_after=False]', 'adapter_plus[residual_before_ln=True]'])(
  '%s would lose the residual there, and is refused',
  (text) => {
    expect(() => bind(text)).toThrow("key 'original_ln_after': found False; expected True on modernbert");
    expect(bind(text, bert).parameters.length).toBeGreaterThan(0);
  },
);
