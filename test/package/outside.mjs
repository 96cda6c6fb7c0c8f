// A method, a block, a kind of head and a family as others would write them: in plain JavaScript, from what the package exports.
import { z } from 'zod';
import { BERT } from 'multigraft/encoders';
import { add, div, gather, input, matmul, mul, multiplyDims, reduceSum, reshape, scalar, slice, sqrt } from 'multigraft/graph';
import { adapterPath, modules } from 'multigraft/methods';
import { activation } from 'multigraft/nn';
import { CLASSIFICATION } from 'multigraft/objectives';

/** One trained vector after each feed-forward block. */
export const SHIFT = {
  name: 'shift',
  summary: 'a trained vector after each feed-forward block',
  paper: 'none: an example',
  architecture: 'shift',
  schema: z.strictObject({ architecture: z.literal('shift').default('shift'), leave_out: z.array(z.number()).default([]) }),
  presets: { shift: {} },
  floatKeys: [],
  trainsEncoder: false,
  learningRate: 1e-2,
  mixesTokens: () => false,
  parameters: ({ leave_out }, context) =>
    modules(context.encoder, leave_out).map((module) => ({
      name: `${adapterPath(context, 'output', module)}.shift`,
      shape: [context.encoder.hidden],
      init: { kind: 'normal', deviation: 0.02 },
      decay: false,
    })),
  acts: ({ leave_out }, context, read) => ({
    residual({ place, module }) {
      if (place !== 'output' || leave_out.includes(module)) return undefined;
      const shift = read(`${adapterPath(context, 'output', module)}.shift`);
      return { apply: ({ h }) => ({ h: add(h, shift) }) };
    },
  }),
};

/** The sum of what adapters make of a residual or add to a linear. */
export const SUM = {
  type: 'sum',
  python: 'Sum',
  inside: ['stack'],
  sites: ['residual', 'linear'],
  bind: ({ children }) => ({
    draw: () => (_name, site, child) => {
      const acts = children.flatMap((one) => child(one) ?? []);
      if (acts.length === 0) return undefined;
      return {
        apply(state) {
          const states = acts.map((act) => act.apply(act.prepare?.(state) ?? state));
          return 'join' in site ? { h: states.map(({ h }) => h).reduce(add) } : states.reduce(add);
        },
        close: acts.at(-1).close,
      };
    },
  }),
  write: () => undefined,
  read: (children) => ({ type: 'sum', children }),
};

// PEFT's folders hold no such head.
const { fixed: _, ...classification } = CLASSIFICATION;

/** Cosines between a sequence's vector and one trained vector for each label, times a constant. */
export const COSINE = {
  ...classification,
  type: 'cosine',
  keys: ['head_type', 'num_labels', 'label2id', 'scale'],
  schema: z.strictObject({
    head_type: z.literal('cosine'),
    num_labels: z.number().int().positive(),
    label2id: z.record(z.string(), z.number().int()).nullable().default(null),
    scale: z.number().positive().default(10),
  }),
  parameters: ({ name, config }, { hidden }) => [
    { name: `heads.${name}.labels`, shape: [config.num_labels, hidden], init: { kind: 'normal', deviation: 0.02 }, decay: true },
  ],
  draw({ name, config }, { first, encoder, parameters }) {
    const labels = parameters(`heads.${name}.labels`, [config.num_labels, encoder.hidden]);
    const length = (x) => sqrt(reduceSum(mul(x, x), [1]));
    const lengths = mul(length(first), reshape(length(labels), [1, config.num_labels]));
    return mul(div(matmul(first, labels, { transB: true }), lengths), scalar(config.scale));
  },
};

/** BERT with its norms before the sub-blocks in place of after them. */
export const PRE_NORM = {
  ...BERT,
  name: 'pre-norm-bert',
  normPath: () => undefined,
  draw(tools, config) {
    const { tokens, dropout } = tools;
    const ids = (name) => input(name, 'int32', [tokens.batch, tokens.length]);
    const words = gather(tools.table(BERT.wordTable, config.vocabulary, config.embedding), ids('inputIds'));
    const types = gather(tools.table('embeddings.token_type_embeddings', config.types, config.embedding), ids('tokenTypeIds'));
    const places = slice(tools.table('embeddings.position_embeddings', config.positions, config.embedding), 0, 0, tokens.length);
    const sum = reshape(add(add(words, types), places), [multiplyDims(tokens.batch, tokens.length), config.hidden]);
    const f = activation(config.activation, 'encoder.config');
    return tools.layers(tools.embedded(dropout(sum, config.hiddenDropout, 'embeddings')), (layer, before) => {
      const normed = layer.norm(BERT.normPath('attention', layer.module), before, { rows: layer.all });
      const context = layer.attention({
        query: layer.linear('query', layer.pick(normed)),
        key: layer.linear('key', normed, layer.all),
        value: layer.linear('value', normed, layer.all),
      });
      const middle = layer.residual('attention', layer.linear('attentionOutput', context), layer.pick(before));
      const inner = f(layer.linear('intermediate', layer.norm(BERT.normPath('output', layer.module), middle)));
      return layer.residual('output', layer.linear('output', inner), middle);
    });
  },
};
