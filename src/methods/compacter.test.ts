import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { loadEncoder } from '../encoders/index.ts';
import { firstValues } from '../model/first-values.ts';
import { bindAdapter } from './adapter.ts';
import { configureMethod, methodOfConfig, shortestText } from './registry.ts';

const tiny = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const base = { ...tiny.config, layers: 12, groups: 12, hidden: 768, intermediate: 3072 };
const specsOf = (text: string, encoder = tiny.config) =>
  bindAdapter(configureMethod(text), { encoder, family: tiny.family, name: 'a' }).parameters;
const small = (settings: string) => specsOf(`compacter[reduction_factor=4${settings}]`);
const tail = (name: string) => name.slice(name.lastIndexOf('.') + 1);

describe('parameters', () => {
  // As tools/golden/compacter.py counts them in Python.
  it.each([
    ['compacter', 57_088],
    ['compacter++', 28_576],
  ])('%s has as many on BERT-base as in Python', (text, count) => {
    expect(specsOf(text, base).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(count);
  });

  it('begin as in Python, rules in another range where layers share them', async () => {
    const deviation = async (text: string, name: string) => {
      const specs = specsOf(text, { ...base, layers: 1, groups: 1 }).filter((spec) => tail(spec.name) === name);
      const values = [...(await firstValues(specs, tiny, { seed: 4 })).values()].flatMap(({ data }) => Array.from(data, Number));
      return { values, deviation: Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length) };
    };
    const left = await deviation('compacter++[phm_dim=2]', 'W_left');
    expect(left.deviation / Math.sqrt(2 / (384 + 1))).toBeGreaterThan(0.9);
    expect(left.deviation / Math.sqrt(2 / (384 + 1))).toBeLessThan(1.4);
    const shared = await deviation('compacter[phm_dim=8, phm_init_range=0.3]', 'phm_rule');
    expect(shared.deviation).toBeCloseTo(0.3, 1);
    const largest = async (text: string) => Math.max(...(await deviation(text, 'phm_rule')).values.map(Math.abs));
    const uniform = await largest("compacter[phm_dim=8, phm_c_init='uniform']");
    expect(uniform).toBeGreaterThan(0.9);
    expect(uniform).toBeLessThanOrEqual(1);
    const own = await largest("compacter[phm_dim=8, phm_c_init='uniform', shared_phm_rule=False]");
    expect(own).toBeGreaterThan(0.009);
    expect(own).toBeLessThanOrEqual(0.01);
  });

  it('a rule that is not learned keeps its first values, and biases are not decayed', () => {
    const specs = small(', learn_phm=False, factorized_phm_rule=True');
    expect(specs.filter(({ trains }) => trains === false).map(({ name }) => name)).toEqual([
      'bert.shared_parameters.a.phm_rule_left',
      'bert.shared_parameters.a.phm_rule_right',
    ]);
    expect([...new Set(specs.filter(({ decay }) => !decay).map(({ name }) => tail(name)))]).toEqual(['b']);
  });
});

describe('configurations', () => {
  it('with phm_layer are its own', () => {
    const configured = configureMethod('compacter++');
    expect(methodOfConfig(configured.config, 'file').method).toBe(configured.method);
    expect(methodOfConfig({ ...configureMethod('seq_bn').config }, 'file').method.name).toBe('bottleneck');
    expect(configureMethod('seq_bn[phm_layer=True]').method).toBe(configured.method);
    expect(shortestText(configureMethod('compacter[phm_rank=2]'))).toBe('compacter[phm_rank=2]');
  });

  it.each([
    ['compacter[shared_W_phm=True, factorized_phm_W=False]', 'shared_W_phm needs factorized_phm_W: without it Python fails too'],
    ["compacter[shared_W_phm=True, reduction_factor={'default': 8}]", 'shared_W_phm needs one reduction_factor for all layers'],
    ["compacter[init_weights='houlsby']", "key 'init_weights': found \"houlsby\"; expected 'bert'"],
    ["compacter[init_weights='mam_adapter']", "key 'init_weights'"],
    ["compacter[inv_adapter='nice', inv_adapter_reduction_factor=2]", "key 'phm_layer': found true; expected false"],
    ["compacter[phm_c_init='zeros']", "key 'phm_c_init'"],
  ])('%s is refused', (text, message) => {
    expect(() => configureMethod(text)).toThrow(message);
  });

  it('whose widths phm_dim does not divide are refused', () => {
    expect(() => small(', phm_dim=3')).toThrow(
      "adapter 'a': key 'phm_dim': found 3, for a linear from 32 numbers to 8; expected a number by which both can be divided",
    );
    expect(() => specsOf('compacter[reduction_factor=5]')).toThrow('from 32 numbers to 6');
    expect(() => specsOf('compacter[reduction_factor=5, shared_W_phm=True]')).toThrow("key 'phm_dim'");
  });
});
