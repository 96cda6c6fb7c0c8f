import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount, float32, type Tensor } from '../base/tensor.ts';
import { loadAdapter, saveAdapter } from '../checkpoint/index.ts';
import { loadEncoder } from '../encoders/index.ts';
import { input, type Value } from '../graph/index.ts';
import { firstValues } from '../model/first-values.ts';
import { type Dropout, noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { attach } from './attachment.ts';
import { configureMethod } from './registry.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const { family } = encoder;
const attached = (text: string, config = encoder.config) => attach(configureMethod(text), { encoder: config, family, name: 'a' });
const LOWEST = -3.4028234663852886e38;

/** Which of the tokens are edited, row by row, by units that add 1 (first tokens) and 2 (last ones). */
async function edited(text: string, masks: readonly string[], { one = false, dropout = noDropout as Dropout } = {}): Promise<string[]> {
  const S = masks[0]?.length ?? 0;
  const length = one ? 1 : S;
  const attachment = attached(`direft[${text}]`);
  const { layer } = attachment.hooks(
    parameters(() => false),
    dropout,
  );
  const [h, mask] = [input('h', 'float32', [masks.length * length, 32]), input('mask', 'float32', [masks.length, 1, 1, S])];
  const rows = { batch: masks.length, length, first: 0 };
  const out = layer?.({ ...rows, layer: 0, module: 0, input: h, all: { ...rows, length: S }, mask, own: mask, h }) as Value;
  const filled = (shape: readonly number[], value: number) => float32(shape, new Float32Array(elementCount(shape)).fill(value));
  const amount = (name: string) => (name.endsWith('.bias') ? (name.includes('.units.0.') ? 1 : 2) : name.includes('projection') ? 1 : 0);
  const values = attachment.parameters.map(({ name, shape }): [string, Tensor] => [name, filled(shape, amount(name))]);
  const session = await referenceEngine().compile({ outputs: { out } }, new Map(values));
  const added = masks.flatMap((row) => [...row].map((real) => (real === '1' ? 0 : LOWEST)));
  const results = await session.run({ h: filled([masks.length * length, 32], 0), mask: float32([masks.length, 1, 1, S], added) });
  const found = Array.from(results.out?.data ?? [], Number).filter((_, i) => i % 32 === 0);
  return masks.map((_, row) => found.slice(row * length, (row + 1) * length).join(''));
}

describe('the edited tokens', () => {
  it.each([
    ['prefix_positions=2', ['111111', '110000', '100000'], ['110000', '110000', '100000']],
    ['prefix_positions=2, suffix_positions=2', ['111111', '111000', '100000'], ['110022', '122000', '200000']],
    ['prefix_positions=0, suffix_positions=1', ['111111', '111000'], ['000002', '002000']],
    ['prefix_positions=9, suffix_positions=8', ['111111', '111000'], ['222222', '222000']],
    ['prefix_positions=9', ['111111', '111000'], ['111111', '111000']],
    ['prefix_positions=2, suffix_positions=1, tied_weights=True', ['111111', '110000'], ['110001', '110000']],
    // Padded on the left: counted from the first real token.
    ['prefix_positions=2, suffix_positions=1', ['001111', '000001'], ['001102', '000002']],
  ])('%s', async (text, masks, expected) => {
    expect(await edited(text, masks)).toEqual(expected);
    const one = await edited(text, masks, { one: true });
    expect(one).toEqual(expected.map(([first]) => first));
  });

  it('are all that dropout reaches, and as a whole', async () => {
    const halved: Dropout = (x) => input('halved', 'float32', x.shape);
    await expect(edited('prefix_positions=1', ['11'], { dropout: halved })).rejects.toThrow('halved');
    const sites: [number, string][] = [];
    const same: Dropout = (x, p, site) => {
      sites.push([p, site]);
      return x;
    };
    await edited('prefix_positions=1, dropout=0.3', ['11'], { dropout: same });
    expect(sites).toEqual([[0.3, 'layer.0.reft.a']]);
  });
});

describe('parameters', () => {
  it('of loreft are as many on BERT-base as in Python, base and the unit without a token among them', () => {
    const base = { ...encoder.config, layers: 12, groups: 12, hidden: 768, intermediate: 3072 };
    const specs = attached('loreft', base).parameters;
    const count = (all: typeof specs) => all.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(count(specs.filter(({ name }) => !name.endsWith('.base')))).toBe(36_888);
    expect(count(specs.filter(({ trains }) => trains !== false))).toBe(36_888 / 2);
  });

  it('that make rows orthonormal are not decayed; nothing of a unit without a token trains', () => {
    const specs = attached('loreft').parameters;
    expect(specs.filter(({ decay }) => decay).every(({ name }) => name.endsWith('learned_source.weight'))).toBe(true);
    expect(specs.filter(({ name, trains }) => name.includes('.units.1.') && trains !== false)).toEqual([]);
    expect(attached('loreft[tied_weights=True]').parameters.some(({ name }) => name.includes('.units.1.'))).toBe(false);
  });

  it('of chosen layers alone', () => {
    const layers = (text: string) => [...new Set(attached(text).parameters.map(({ name }) => /layer\.(\d+)/.exec(name)?.[1]))];
    expect(layers('noreft')).toEqual(['0', '1', '2']);
    expect(layers('noreft[layers=[2, 0]]')).toEqual(['0', '2']);
    expect(() => attached('noreft[layers=[1, 3]]')).toThrow("key 'layers': found 3; expected layers from 0 to 2");
  });
});

it.each([
  ['loreft[prefix_positions=0]', 'prefix_positions or suffix_positions above 0'],
  ['loreft[output_reft=False]', "key 'output_reft': found false; expected true"],
  ["loreft[non_linearity='zero']", "key 'non_linearity'"],
  ["loreft[layers='some']", "key 'layers'"],
])('%s is refused', (text, message) => {
  expect(() => configureMethod(text)).toThrow(message);
});

it('a subspace of all dimensions is refused where its rows must be orthonormal', () => {
  expect(() => attached('loreft[r=32]')).toThrow("key 'r': found 32; expected less than the hidden size, 32");
  expect(attached('noreft[r=32]').parameters.length).toBeGreaterThan(0);
});

describe('a folder', () => {
  const saved = async (text: string) => {
    const files = memoryFiles();
    const method = configureMethod(text);
    const tensors = await firstValues(attached(text).parameters, encoder, { seed: 1 });
    await saveAdapter(files, 'out', { name: 'a', method, tensors, model: encoder });
    return files;
  };
  const loaded = async (text: string, without: boolean) => {
    const files = await saved(text);
    const written = new TextDecoder().decode(await files.read('out/adapter_config.json'));
    expect(written).toContain('"subtract_projection": ');
    const changed = without ? written.replace(/\s*"subtract_projection": \w+,/, '') : written;
    await files.write('out/adapter_config.json', new TextEncoder().encode(changed));
    const { method, notes } = await loadAdapter(files, 'out', { encoder });
    return { subtracts: method.config.subtract_projection, notes };
  };

  it('says what is subtracted', async () => {
    expect(await loaded('direft', false)).toEqual({ subtracts: false, notes: [] });
    expect(await loaded('noreft', false)).toEqual({ subtracts: true, notes: [] });
  });

  it('of Python does not: it is read as Python does, and said where it may be another', async () => {
    const note = expect.stringContaining("does not write 'subtract_projection'");
    expect(await loaded('direft', true)).toEqual({ subtracts: true, notes: [note] });
    expect(await loaded('loreft', true)).toEqual({ subtracts: true, notes: [] });
  });
});
