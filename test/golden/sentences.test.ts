import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { memoryFiles } from '../../src/base/files.ts';
import { referenceEngine } from '../../src/session/reference.ts';

interface Folder {
  readonly name: string;
  readonly files: Readonly<Record<string, unknown>>;
  readonly vectors: readonly { readonly prompt: string | null; readonly values: number[][] }[];
}
const golden: { encoder: string; texts: string[]; tokenizer: Record<string, string>; folders: readonly Folder[] } = JSON.parse(
  readFileSync('test/golden/sentences.json', 'utf8'),
);
const ENCODER = `test/golden/encoders/${golden.encoder}`;

/** A folder of sentence-transformers in memory; `inside` puts the encoder into a folder of its own. */
function filesOf({ files }: Pick<Folder, 'files'>, inside = '') {
  const all: Record<string, Uint8Array | string> = {};
  for (const name of ['config.json', 'model.safetensors']) all[`e/${inside}${name}`] = readFileSync(`${ENCODER}/${name}`);
  for (const [name, text] of Object.entries(golden.tokenizer)) all[`e/${inside}${name}`] = text;
  for (const [name, value] of Object.entries(files)) all[`e/${name.startsWith('sentence_') ? inside : ''}${name}`] = JSON.stringify(value);
  return memoryFiles(all);
}

const open = (files: ReturnType<typeof filesOf>) => AutoAdapterModel.fromPretrained('e', { files, engine: referenceEngine() });

function worst(got: readonly Float32Array[], wanted: readonly number[][]): number {
  expect(got.map(({ length }) => length)).toEqual(wanted.map(({ length }) => length));
  const largest = Math.max(...wanted.flat().map(Math.abs));
  return Math.max(...got.flatMap((vector, i) => Array.from(vector, (x, j) => Math.abs(x - (wanted[i]?.[j] as number))))) / largest;
}

test.each(golden.folders)('$name: vectors are those of sentence-transformers', async (folder) => {
  const model = await open(filesOf(folder));
  for (const { prompt, values } of folder.vectors) {
    const found = await model.embed(golden.texts, prompt === null ? {} : { prompt });
    expect(worst(found, values)).toBeLessThan(1e-5);
  }
});

test('the layout before version 2 gives the same', async () => {
  const folder = golden.folders[1] as Folder;
  const modules = (folder.files['modules.json'] as { path: string; type: string }[]).map((one, i) =>
    i === 0 ? { ...one, path: '0_Transformer' } : one,
  );
  const model = await open(filesOf({ files: { ...folder.files, 'modules.json': modules } }, '0_Transformer/'));
  expect(worst(await model.embed(golden.texts), folder.vectors[0]?.values as number[][])).toBeLessThan(1e-5);
});

test('what was asked for goes before what the folder says, an adapter changes vectors, and what is not there is refused', async () => {
  const [plain, normalised, , , prompts] = golden.folders as [Folder, Folder, Folder, Folder, Folder];
  const model = await open(filesOf(plain));
  const notes: string[] = [];
  const long = await model.embed(golden.texts, { normalize: true, maxLength: 9, onNote: (text) => notes.push(text) });
  expect(worst(long, normalised.vectors[0]?.values as number[][])).toBeLessThan(1e-5);
  expect(notes).toEqual(['1 of 7 texts are longer than 9 tokens and were cut.']);
  expect(await model.embed([])).toEqual([]);
  await expect(model.embed(['a'], { prompt: 'query' })).rejects.toThrow("--prompt: found 'query'; expected none");
  await expect(model.embed(['a'], { maxLength: 99 })).rejects.toThrow('--max-length: found 99; expected at most 40');
  await expect(model.embed('a text' as never)).rejects.toThrow('embed(texts): found string');
  model.addAdapter('a', 'lora[init_weights="bert"]');
  model.setActiveAdapters('a');
  const [before] = await model.embed(['cat']);
  model.setActiveAdapters(undefined);
  expect(await model.embed(['cat'])).not.toEqual([before]);
  const other = await open(filesOf(prompts));
  await expect(other.embed(['a'], { prompt: 'answer' })).rejects.toThrow('expected one of query, text');
  const dense = [...(plain.files['modules.json'] as object[]), { type: 'sentence_transformers.models.Dense', path: '2_Dense' }];
  const denser = await open(filesOf({ files: { ...plain.files, 'modules.json': dense } }));
  await expect(denser.embed(['cat'])).rejects.toThrow('found Dense after the pooling');
  expect(worst(await denser.embed(golden.texts, { pooling: 'mean' }), plain.vectors[0]?.values as number[][])).toBeLessThan(1e-5);
  const { files } = prompts;
  const without = { ...(files['1_Pooling/config.json'] as object), include_prompt: false };
  const instructor = await open(filesOf({ files: { ...files, '1_Pooling/config.json': without } }));
  await expect(instructor.embed(['cat'])).rejects.toThrow("field 'include_prompt'");
});
