import { z } from 'zod';
import { fail, type Tensor } from '../base/index.ts';
import type { EmbeddedSite } from '../encoders/index.ts';
import { addDims, concat, expand, multiplyDims, reshape, scalar, slice, type Value } from '../graph/index.ts';
import type { Initializer } from '../nn/index.ts';
import type { MethodContext } from './context.ts';
import type { Method } from './method.ts';

const schema = z.strictObject({
  architecture: z.literal('prompt_tuning').default('prompt_tuning'),
  prompt_length: z.number().int().positive().default(10),
  prompt_init: z.enum(['random_uniform', 'from_string']).default('random_uniform'),
  prompt_init_text: z.string().nullable().default(null),
  combine: z.enum(['prefix', 'prefix_after_bos']).default('prefix'),
  init_weights_seed: z.number().int().nullable().default(null),
});

type PromptConfig = z.infer<typeof schema>;

/**
 * Prompt tuning (Lester et al. 2021): P trained embeddings [P, E] among those of the text, which have no positions, types or norm.
 * They stand before the text (`prefix`: heads that read one token then read the first of them) or after its first token
 * (`prefix_after_bos`).
 */
export const PROMPT_TUNING: Method<PromptConfig> = {
  name: 'prompt tuning',
  summary: 'trained embeddings of tokens that stand before the text',
  paper: 'Lester et al. 2021',
  architecture: 'prompt_tuning',
  schema,
  presets: { prompt_tuning: {} },
  floatKeys: [],
  learningRate: 1e-2,
  mixesTokens: () => false,
  parameters: (config, context) => [
    {
      name: promptName(context),
      shape: [config.prompt_length, context.encoder.embedding],
      init: firstValues(config, context),
      decay: true,
    },
  ],
  acts: (config, context, read) => ({
    embedded: () => ({ apply: (site) => withPrompt(site, read(promptName(context)), config.combine === 'prefix' ? 0 : 1) }),
  }),
};

/** The sequence with a prompt [P, E] before its token `at`, which every token may read. */
function withPrompt({ x, mask, batch, length, added }: EmbeddedSite, prompt: Value, at: 0 | 1): EmbeddedSite {
  if (added > 0)
    fail({ code: 'method.config', subject: 'prompt tuning', found: 'tokens that another method put in', expected: 'one prompt' });
  const [count, width] = prompt.shape as [number, number];
  const among = (text: Value, put: Value) => concat([...(at > 0 ? [slice(text, 1, 0, at)] : []), put, slice(text, 1, at, length)], 1);
  const longer = addDims(length, count);
  const tokens = among(reshape(x, [batch, length, width]), expand(reshape(prompt, [1, count, width]), [batch, count, width]));
  return {
    x: reshape(tokens, [multiplyDims(batch, longer), width]),
    mask: among(mask, expand(scalar(1), [batch, count])),
    batch,
    length: longer,
    first: 0,
    added: count,
    at,
  };
}

/** U(−½, ½), or the words of a text from the encoder's table, over again until there are enough. */
function firstValues(
  { prompt_init: from, prompt_init_text: text, prompt_length: length }: PromptConfig,
  context: MethodContext,
): Initializer {
  if (from === 'random_uniform') return { kind: 'fan-in-uniform', fanIn: 4 };
  const { encoder, family, tokenize } = context;
  const make = ([table]: readonly Tensor[]): Float32Array => {
    if (!tokenize || text === null)
      return fail({
        code: 'method.config',
        subject: 'prompt_init',
        found: `'from_string' with ${JSON.stringify(text)}${tokenize ? '' : ', where no tokenizer is at hand'}`,
        expected: tokenize ? "a text in 'prompt_init_text'" : "'random_uniform'",
      });
    const ids = tokenize(text);
    const words = (table as Tensor).data as Float32Array;
    const values = new Float32Array(length * encoder.embedding);
    for (let i = 0; i < length; i++) {
      const start = (ids[i % ids.length] as number) * encoder.embedding;
      values.set(words.subarray(start, start + encoder.embedding), i * encoder.embedding);
    }
    return values;
  };
  return { kind: 'derived', reads: [`${family.prefix}${family.wordTable}.weight`], make };
}

function promptName({ family, name }: MethodContext): string {
  return `${family.prefix}prompt_tuning.prompt_tunings.${name}.prompt_embedding.weight`;
}
