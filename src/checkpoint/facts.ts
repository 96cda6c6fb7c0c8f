import { type ErrorCode, type Files, fail, shown } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { isJsonObject, type Json, readJson } from '../formats/json.ts';

/** The encoder that an adapter or head belongs to; an {@link Encoder} is one. Its weights are read where a head shares some of
 * them, its fields where they say what a head of PEFT answers. */
export type ModelFacts = Pick<Encoder, 'name' | 'family' | 'config'> & Partial<Pick<Encoder, 'weights' | 'fields'>>;

/** The version that goes into files: from 1.1.0 on Python takes LoRA's alpha as it stands. */
export const VERSION = 'adapters.1.3.0';

/**
 * A name that Python's module tree and a file system both take.
 * @throws `code`
 */
export function checkName(name: unknown, subject: string, next: string, code: ErrorCode = 'adapter.format'): string {
  const expected = "1 to 240 characters without dots, slashes and control characters, and not '__base__'";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (typeof name === 'string' && /^[^./\\\u0000-\u001f\u007f]{1,240}$/.test(name) && name !== '__base__') return name;
  return fail({ code, subject, found: shown(name), expected, next });
}

/** A text made fit for {@link checkName}, as far as dots and slashes go. */
export function asName(text: string): string {
  return text.replaceAll(/[./\\]/g, '_');
}

/** The fields of a config file, as Python reads them. @throws adapter.format for what is no object, file.* */
export async function readFields(files: Files, path: string): Promise<{ [key: string]: Json }> {
  const raw = await readJson(files, path, { python: true });
  return isJsonObject(raw) ? raw : fail({ code: 'adapter.format', subject: path, found: shown(raw), expected: 'an object' });
}

interface StoredFacts {
  readonly type: string | undefined;
  readonly name: string | undefined;
}

/**
 * Holds what a config file says of its encoder against `encoder`. Old files lack some of it: what is absent is not checked.
 * @throws adapter.mismatch, adapter.format
 */
export function checkModel(raw: Readonly<Record<string, Json>>, encoder: ModelFacts, subject: string): StoredFacts {
  const type = optional(raw, 'model_type', 'string', subject);
  const hidden = optional(raw, 'hidden_size', 'number', subject);
  const name = optional(raw, 'model_name', 'string', subject);
  const made = `made for ${name === undefined ? 'an encoder' : quoted(name)}`;
  const next = `It was ${made}: load that encoder, or train an adapter for this one.`;
  if (type !== undefined && type !== encoder.family.name)
    fail({
      code: 'adapter.mismatch',
      subject: `${subject}: field 'model_type'`,
      found: quoted(type),
      expected: `'${encoder.family.name}', the type of ${encoder.name}`,
      next,
    });
  if (hidden !== undefined && hidden !== encoder.config.hidden)
    fail({
      code: 'adapter.mismatch',
      subject: `${subject}: field 'hidden_size'`,
      found: String(hidden),
      expected: `${encoder.config.hidden}, the hidden size of ${encoder.name}`,
      next,
    });
  return { type, name };
}

/** What a user should know when the encoder has another name than the one that a file was made for. */
export function noteOfModel({ name }: StoredFacts, encoder: ModelFacts): string[] {
  return name === undefined || baseModel(name) === baseModel(encoder.name)
    ? []
    : [`It was trained with '${name}' and is loaded into '${encoder.name}': they must have the same weights.`];
}

/** A text of a file in a message, cut to what fits. */
function quoted(text: string): string {
  return `'${text.length > 80 ? `${text.slice(0, 80)}…` : text}'`;
}

/** Namespaces of one publisher or another do not make another model. */
function baseModel(name: string): string {
  return (name.split('/').at(-1) as string).toLowerCase();
}

function optional(raw: Readonly<Record<string, Json>>, key: string, type: 'string', subject: string): string | undefined;
function optional(raw: Readonly<Record<string, Json>>, key: string, type: 'number', subject: string): number | undefined;
function optional(
  raw: Readonly<Record<string, Json>>,
  key: string,
  type: 'string' | 'number',
  subject: string,
): string | number | undefined {
  const value = raw[key] ?? undefined;
  if (value === undefined) return undefined;
  if ((typeof value === 'string' || typeof value === 'number') && typeof value === type) return value;
  return fail({
    code: 'adapter.format',
    subject: `${subject}: field '${key}'`,
    found: shown(value),
    expected: type === 'string' ? 'text' : 'a number',
  });
}
