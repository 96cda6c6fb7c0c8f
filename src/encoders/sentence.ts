import { type Files, fail, joinPath, list, shown } from '../base/index.ts';
import { isJsonObject, type Json, readJson } from '../formats/json.ts';
import type { Pooling } from '../nn/index.ts';

/** How sentence-transformers makes the vector of a text with an encoder, by the modules.json of its folder. */
export interface SentenceModel {
  /** Where modules.json lies. */
  readonly folder: string;
  /** The folder of the encoder itself: the same, or a folder in it in the layout before version 2. */
  readonly encoder: string;
  /** Which vector stands for a text; undefined where that is none of ours, which `refused` says then. */
  readonly pooling: Pooling | undefined;
  /** What its pooling is, and where that is said, where it is none that is available here. */
  readonly refused: { readonly subject: string; readonly found: string } | undefined;
  /** Whether tokens of a prompt are part of what is pooled. */
  readonly includesPrompt: boolean;
  /** Whether vectors are divided by their length. */
  readonly normalizes: boolean;
  /** Modules beside those, which change the vector: only who asks for vectors needs them. */
  readonly others: readonly string[];
  /** Tokens per text, special tokens included, where it says so. */
  readonly maxLength: number | undefined;
  /** Whether texts are made lower case before they are cut into tokens. */
  readonly lowercases: boolean;
  /** What goes before a text, by what it is for. */
  readonly prompts: ReadonlyMap<string, string>;
  readonly defaultPrompt: string | undefined;
}

export const MODULES = 'modules.json';
const PACKAGE = 'sentence_transformers.';
const MODES: Readonly<Record<string, Pooling | undefined>> = {
  cls_token: 'first',
  mean_tokens: 'mean',
  max_tokens: 'max',
  mean_sqrt_len_tokens: 'mean_sqrt_len',
  weightedmean_tokens: undefined,
  lasttoken: undefined,
};
/** As its versions called the file, for each family another. */
const TRANSFORMER_CONFIG = /^sentence_[-\w]+_config\.json$/;

/** Undefined for a folder without modules.json. @throws encoder.config for one that says nothing that can be understood; file.* */
export async function readSentenceModel(files: Files, folder: string): Promise<SentenceModel | undefined> {
  const path = joinPath(folder, MODULES);
  if ((await files.kind(path)) !== 'file') return undefined;
  const modules = modulesIn(await readJson(files, path), path);
  const [transformer, ...rest] = modules;
  if (transformer?.type !== 'Transformer')
    return fail({
      code: 'encoder.config',
      subject: path,
      found: transformer ? `the first module ${transformer.written}` : 'no module',
      expected: `${PACKAGE}models.Transformer`,
      next: 'Only encoders that read text by a transformer can be used here.',
    });
  const encoder = joinPath(folder, transformer.path).replace(/(?<=.)\/$/, '');
  const at = rest.findIndex(({ type }) => type === 'Pooling');
  const [before, pooling, after] = at < 0 ? [rest, undefined, []] : [rest.slice(0, at), rest[at], rest.slice(at + 1)];
  const pooled = pooling
    ? await readPooling(files, folder, pooling.path)
    : { pooling: undefined, includesPrompt: true, found: 'no Pooling' };
  const blocking = before.length > 0 ? `${list(before.map(({ written }) => written))} before the pooling` : pooled.found;
  return {
    folder,
    encoder,
    pooling: before.length > 0 ? undefined : pooled.pooling,
    refused: blocking === undefined ? undefined : { subject: pooling ? joinPath(folder, pooling.path, CONFIG) : path, found: blocking },
    includesPrompt: pooled.includesPrompt,
    normalizes: after.some(({ type }) => type === 'Normalize'),
    others: after.filter(({ type }) => type !== 'Normalize').map(({ written }) => written),
    ...(await readTransformer(files, encoder)),
    ...(await readPrompts(files, folder)),
  };
}

/** Which vector of a sequence the folder of an encoder says that heads should read; undefined for no sentence encoder. @throws encoder.config */
export function usualPooling(sentence: SentenceModel | undefined): Pooling | undefined {
  if (!sentence?.refused) return sentence?.pooling;
  return fail({
    code: 'encoder.config',
    ...sentence.refused,
    expected: 'the mean, the largest or the first of all tokens, alone',
    next: 'Say what heads read: --pooling mean.',
  });
}

interface Module {
  /** The class where it is one of the package's own, and its whole name where it is not. */
  readonly type: string;
  readonly written: string;
  readonly path: string;
}

const CONFIG = 'config.json';

function modulesIn(raw: Json, path: string): Module[] {
  if (!Array.isArray(raw)) return fail({ code: 'encoder.config', subject: path, found: shown(raw), expected: 'a list of modules' });
  return raw.map((one, i) => {
    const { type, path: place } = isJsonObject(one) ? one : {};
    if (typeof type !== 'string' || typeof place !== 'string' || !/^(?:[^/\\.][^/\\]*)?$/.test(place))
      return fail({
        code: 'encoder.config',
        subject: `${path}: module ${i}`,
        found: shown(one),
        expected: "an object with 'type' and 'path', the name of a folder beside it",
      });
    const own = type.startsWith(PACKAGE);
    return { type: own ? (type.split('.').at(-1) as string) : type, written: own ? (type.split('.').at(-1) as string) : type, path: place };
  });
}

async function readPooling(files: Files, folder: string, place: string) {
  const path = joinPath(folder, place, CONFIG);
  const raw = await readObject(files, path);
  const included = raw.include_prompt ?? true;
  if (typeof included !== 'boolean') wrong(path, 'include_prompt', included, 'true or false');
  const modes = Object.entries(raw).filter(([key]) => key.startsWith('pooling_mode'));
  for (const [key, value] of modes)
    if (key === 'pooling_mode' || typeof value !== 'boolean') wrong(path, key, value, 'true or false, for a pooling_mode_… of its own');
  const says = (mode: string) => raw[`pooling_mode_${mode}`] ?? (mode === 'mean_tokens' && modes.length === 0);
  const unknown = modes.filter(([key, value]) => value && !Object.hasOwn(MODES, key.slice('pooling_mode_'.length))).map(([key]) => key);
  const chosen = [
    ...Object.keys(MODES)
      .filter(says)
      .map((mode) => `pooling_mode_${mode}`),
    ...unknown,
  ];
  const pooling = chosen.length === 1 ? MODES[(chosen[0] as string).slice('pooling_mode_'.length)] : undefined;
  const found = pooling === undefined ? (chosen.length === 0 ? 'no pooling_mode' : list(chosen)) : undefined;
  return { pooling, found, includesPrompt: included as boolean };
}

async function readTransformer(files: Files, folder: string): Promise<Pick<SentenceModel, 'maxLength' | 'lowercases'>> {
  const name = (await files.list(folder).catch(() => [])).find((one) => TRANSFORMER_CONFIG.test(one));
  if (name === undefined) return { maxLength: undefined, lowercases: false };
  const path = joinPath(folder, name);
  const { max_seq_length: length, do_lower_case: lower } = await readObject(files, path);
  if (length !== undefined && length !== null && !(typeof length === 'number' && Number.isInteger(length) && length > 2))
    wrong(path, 'max_seq_length', length, 'a whole number of tokens, at least 3');
  if (lower !== undefined && typeof lower !== 'boolean') wrong(path, 'do_lower_case', lower, 'true or false');
  return { maxLength: (length as number | null | undefined) ?? undefined, lowercases: lower === true };
}

async function readPrompts(files: Files, folder: string): Promise<Pick<SentenceModel, 'prompts' | 'defaultPrompt'>> {
  const path = joinPath(folder, 'config_sentence_transformers.json');
  if ((await files.kind(path)) !== 'file') return { prompts: new Map(), defaultPrompt: undefined };
  const { prompts, default_prompt_name: usual } = await readObject(files, path);
  const entries = isJsonObject(prompts) ? Object.entries(prompts) : [];
  if (prompts !== undefined && prompts !== null && (!isJsonObject(prompts) || entries.some(([, text]) => typeof text !== 'string')))
    wrong(path, 'prompts', prompts, 'an object of texts');
  const known = new Map(entries as [string, string][]);
  if (usual !== undefined && usual !== null && !(typeof usual === 'string' && known.has(usual)))
    wrong(path, 'default_prompt_name', usual, `one of ${list([...known.keys()])}`);
  return { prompts: known, defaultPrompt: (usual as string | null | undefined) ?? undefined };
}

async function readObject(files: Files, path: string): Promise<{ readonly [key: string]: Json }> {
  const raw = await readJson(files, path);
  return isJsonObject(raw) ? raw : fail({ code: 'encoder.config', subject: path, found: shown(raw), expected: 'an object' });
}

function wrong(path: string, field: string, found: Json | undefined, expected: string): never {
  return fail({ code: 'encoder.config', subject: `${path}: field '${field}'`, found: shown(found ?? null), expected });
}
