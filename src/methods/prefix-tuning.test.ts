import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount } from '../base/tensor.ts';
import { drawEncoder, type Encoder, loadEncoder } from '../encoders/index.ts';
import { nameOf, partsOf } from '../graph/index.ts';
import { noDropout, type ParameterSpec, parameters, planDropout } from '../nn/index.ts';
import { ATTACHMENT_RULES, checkAttachment } from '../testing/index.ts';
import { attach, configureMethod } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const specsOf = (text: string, config = encoder.config): readonly ParameterSpec[] => {
  const { method, config: own } = configureMethod(text);
  return method.parameters(own, { encoder: config, family: encoder.family, name: 'x' });
};
const count = (specs: readonly ParameterSpec[]) => specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);

function program(text: string, { config, family }: Encoder, dropout = noDropout) {
  const resolve = parameters(() => false);
  const hooks = attach(configureMethod(text), { encoder: config, family, name: 'x' }).hooks(resolve, dropout);
  return partsOf({ outputs: { output: drawEncoder({ config, family, parameters: resolve, dropout, hooks, read: 'all' }).output } });
}

describe('parameters', () => {
  it('are as many on BERT-base as in Python', () => {
    const base = { ...encoder.config, layers: 12, groups: 12, hidden: 768, intermediate: 3072, heads: 12 };
    expect(count(specsOf('prefix_tuning', base))).toBe(9_872_384);
    expect(count(specsOf('prefix_tuning_flat', base))).toBe(552_960);
    // Layers that are left out have no keys and values, and no gate.
    expect(count(specsOf('prefix_tuning_flat[leave_out=[0, 1, 2], use_gating=True]', base))).toBe((552_960 * 9) / 12 + 9 * 769);
  });

  it('refuse a prefix that would sit nowhere', () => {
    expect(() => specsOf('prefix_tuning[leave_out=[0, 1, 2]]')).toThrow('leave_out: found all 3 layers');
    expect(() => configureMethod('prefix_tuning[prefix_length=0]')).toThrow("key 'prefix_length'");
  });
});

describe('the drawing', () => {
  it('has the network that makes the prefixes of all layers once', () => {
    const tanh = ({ nodes }: ReturnType<typeof program>) => nodes.filter(({ op }) => op.name === 'Tanh').length;
    expect(tanh(program('prefix_tuning', encoder))).toBe(1);
    expect(tanh(program('prefix_tuning_flat', encoder))).toBe(0);
  });

  it('drops of keys and values in every module, and the same in layers that share one', async () => {
    const albert = await loadEncoder(nodeFiles, 'test/golden/encoders/albert-groups');
    const sites = (which: Encoder) => {
      const quiet = { ...which, config: { ...which.config, hiddenDropout: 0, attentionDropout: 0 } };
      const { inputs } = program('prefix_tuning[dropout=0.5]', quiet, planDropout(64, 1).dropout);
      return inputs.map(nameOf).filter((name) => name?.startsWith('dropout.')).length;
    };
    expect(sites(encoder)).toBe(2 * 3);
    expect(sites(albert)).toBe(2 * albert.config.groups);
    expect(albert.config.layers).toBeGreaterThan(albert.config.groups);
  });
});

it.each(['prefix_tuning[prefix_length=3, bottleneck_size=4]', 'prefix_tuning_flat[prefix_length=3, leave_out=[0]]'])(
  '%s keeps the rules where positions are turned and windows local',
  async (text) => {
    const modern = await loadEncoder(nodeFiles, 'test/golden/encoders/modernbert');
    const attachment = attach(configureMethod(text), { encoder: modern.config, family: modern.family, name: 'x' });
    const rules = await checkAttachment({ name: text, encoder: modern, attachment });
    expect(rules).toEqual(ATTACHMENT_RULES.filter((rule) => rule !== 'tasks' && rule !== 'engines'));
  },
);
