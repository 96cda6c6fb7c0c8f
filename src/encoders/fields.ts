import { fail } from '../base/index.ts';
import type { ConfigFields, EncoderConfig } from './config.ts';

interface Defaults {
  readonly positions: number;
  readonly types: number;
  readonly vocabulary?: number;
  readonly embedding?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly intermediate?: number;
  readonly padId?: number;
  readonly activation?: string;
  readonly dropout?: number;
  readonly groups?: number;
  readonly layers?: number;
  readonly epsilon?: number;
}

/** The config fields that all BERT-like families share; defaults are those of the family's Python class. */
export function standardConfig(family: string, fields: ConfigFields, defaults: Defaults): EncoderConfig {
  const hidden = fields.integer('hidden_size', defaults.hidden ?? 768);
  const layers = fields.integer('num_hidden_layers', defaults.layers ?? 12);
  return {
    family,
    layers,
    hidden,
    heads: fields.integer('num_attention_heads', defaults.heads ?? 12),
    intermediate: fields.integer('intermediate_size', defaults.intermediate ?? 3072),
    vocabulary: fields.integer('vocab_size', defaults.vocabulary ?? 30522),
    positions: fields.integer('max_position_embeddings', defaults.positions),
    types: fields.integer('type_vocab_size', defaults.types),
    embedding: defaults.embedding === undefined ? hidden : fields.integer('embedding_size', defaults.embedding),
    epsilon: fields.number('layer_norm_eps', defaults.epsilon ?? 1e-12),
    activation: fields.text('hidden_act', defaults.activation ?? 'gelu'),
    hiddenDropout: fields.number('hidden_dropout_prob', defaults.dropout ?? 0.1),
    attentionDropout: fields.number('attention_probs_dropout_prob', defaults.dropout ?? 0.1),
    classifierDropout: fields.has('classifier_dropout')
      ? fields.number('classifier_dropout')
      : fields.has('classifier_dropout_prob')
        ? fields.number('classifier_dropout_prob')
        : undefined,
    padId: fields.integer('pad_token_id', defaults.padId ?? 0),
    groups: defaults.groups ?? layers,
  };
}

/** Reads fields of a config.json. Throws `encoder.config` naming the field. */
export function configFields(raw: Readonly<Record<string, unknown>>, subject: string): ConfigFields {
  const read = <T>(name: string, fallback: T | undefined, expected: string, fits: (value: unknown) => value is T): T => {
    const value = raw[name];
    if (value === undefined || value === null)
      return fallback ?? fail({ code: 'encoder.config', subject: `${subject}: field '${name}'`, found: 'nothing', expected });
    if (!fits(value))
      return fail({ code: 'encoder.config', subject: `${subject}: field '${name}'`, found: JSON.stringify(value), expected });
    return value;
  };
  const positive =
    (limit: number) =>
    (value: unknown): value is number =>
      Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= limit;
  return {
    integer: (name, fallback) => read(name, fallback, 'an integer from 0 to 10,000,000', positive(1e7)),
    number: (name, fallback) =>
      read(name, fallback, 'a number', (value): value is number => typeof value === 'number' && Number.isFinite(value)),
    flag: (name, fallback) => read(name, fallback, 'true or false', (value): value is boolean => typeof value === 'boolean'),
    text: (name, fallback) => read(name, fallback, 'a string', (value): value is string => typeof value === 'string'),
    texts: (name) => {
      const value = read(name, [], 'a list of strings, or strings with | between', isTexts);
      return (typeof value === 'string' ? value.toLowerCase().split('|') : value).map((one) => one.trim());
    },
    has: (name) => raw[name] !== undefined && raw[name] !== null,
    isNull: (name) => raw[name] === null,
  };
}

function isTexts(value: unknown): value is string | string[] {
  return typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string'));
}
