import { z } from 'zod';
import type { Method } from './method.ts';

/** The two ways to train without an adapter: every weight of the encoder, or the head alone. */
const schema = z.strictObject({});
/** A solved head is one linear, the only minimum of its penalised loss, found without steps. */
const headSchema = z.strictObject({ solved: z.boolean().default(false) });

const NONE = {
  architecture: undefined,
  floatKeys: [],
  parameters: () => [],
  acts: () => ({}),
  mixesTokens: () => false,
} as const;

export const FULL: Method<Record<string, never>> = {
  ...NONE,
  schema,
  name: 'full fine-tuning',
  summary: 'all weights of the encoder train; saved as a whole encoder with its head',
  paper: 'Devlin et al. 2019',
  presets: { full: {} },
  trainsEncoder: true,
  learningRate: 5e-5,
};

export const HEAD: Method<z.infer<typeof headSchema>> = {
  ...NONE,
  schema: headSchema,
  name: 'head only',
  summary: 'the encoder stays as it is; only the prediction head trains (frozen features)',
  paper: 'the usual baseline',
  presets: { head: {}, solved_head: { solved: true } },
  learningRate: 1e-3,
};
