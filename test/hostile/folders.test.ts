import { expect, it } from 'vitest';
import { ERROR_CODES, MultigraftError } from '../../src/base/errors.ts';
import { memoryFiles } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { createRandom, type Random } from '../../src/base/random.ts';
import { loadAdapter, loadFusion, loadHead, loadSetup } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { mutate } from './mutate.ts';

type Folder = Record<string, Uint8Array>;
type Read = (files: ReturnType<typeof memoryFiles>, encoder: Encoder) => Promise<unknown>;

const adapter: Read = (files, encoder) => loadAdapter(files, 'a', { encoder });
const renamed: Read = (files, encoder) => loadAdapter(files, 'a', { encoder, as: 'other', leaveOut: [1] });
const head: Read = (files, encoder) => loadHead(files, 'a', { encoder, unnamed: 'old' });
const setup: Read = async (files, encoder) => {
  const { composition } = await loadSetup(files, 'a');
  const adapters = await Promise.all(['a', 'b'].map((name) => loadAdapter(files, `a/${name}`, { encoder, as: name })));
  const methods = new Map(adapters.map(({ name, method }) => [name, method]));
  const fusions = await Promise.all(
    (await files.list('a'))
      .filter((name) => /,|fus/.test(name))
      .map((name) => loadFusion(files, `a/${name}`, { encoder, adapters: methods })),
  );
  return { composition, fusions };
};

const SOURCES: readonly (readonly [folder: string, read: Read])[] = [
  ['methods/seq_bn', adapter],
  ['methods/double_seq_bn_inv', renamed],
  ['methods/lora', renamed],
  ['methods/prompt_tuning', adapter],
  ['methods/dora', adapter],
  ['folders/old/version-1-language', adapter],
  ['folders/old/version-1-both', renamed],
  ['folders/old/prompt', adapter],
  ['folders/fixed/bert-SequenceClassification', adapter],
  ['folders/fixed/bert-MaskedLM', adapter],
  ['folders/heads/no-bias-2', head],
  ['heads/tagging-2', head],
  ['heads/choice-2', head],
  ['peft/lora-attention-output', adapter],
  ['peft/lora-bin', adapter],
  ['peft/lora-patterns', adapter],
  ['fusion-saved/setup', setup],
];

/** Values that configurations lie with. */
const LIES = [
  ...[
    'null',
    'true',
    'false',
    '0',
    '-1',
    '1',
    '2',
    '0.5',
    '1e308',
    '-1e-308',
    'NaN',
    '-Infinity',
    '9007199254740993',
    '1e999',
    '2147483648',
  ],
  ...[
    '""',
    '"a"',
    '"../x"',
    '"lora"',
    '"union"',
    '"LORA"',
    '"gelu"',
    '"constructor"',
    '"__proto__"',
    '"\\ud800"',
    '[]',
    '{}',
    '[[]]',
    '[1, "a"]',
  ],
  ...['{"__proto__": 1}', '{"default": 1}', '[0, 1, 2]', '[-1]', '{"0": 0}', `"${'x'.repeat(5000)}"`, '['.repeat(500), '["q", "k", "v"]'],
];

/** One value of a JSON text replaced, one key changed, or bytes of it. */
function changed(name: string, bytes: Uint8Array, random: Random): Uint8Array {
  if (!name.endsWith('.json') || random.below(4) === 0) return mutate(bytes, random);
  const text = new TextDecoder().decode(bytes);
  const values = [...text.matchAll(/: ([^[{\n]+?)(?=,?\n)/g)];
  const value = values[random.below(values.length)];
  if (!value) return mutate(bytes, random);
  const lie = LIES[random.below(LIES.length)] as string;
  return new TextEncoder().encode(`${text.slice(0, value.index)}: ${lie}${text.slice(value.index + value[0].length)}`);
}

async function folderOf(path: string, inside = 'a'): Promise<Folder> {
  const folder: Folder = {};
  for (const name of await nodeFiles.list(path)) {
    const whole = `${path}/${name}`;
    if ((await nodeFiles.kind(whole)) === 'folder') Object.assign(folder, await folderOf(whole, `${inside}/${name}`));
    else folder[`${inside}/${name}`] = new Uint8Array(await nodeFiles.read(whole));
  }
  return folder;
}

it('5100 folders with a file or two changed: each is read, or refused with a typed error, within a second', async () => {
  const encoder = { ...(await loadEncoder(nodeFiles, 'test/golden/encoders/bert')), name: 'multigraft-tiny-bert' };
  const random = createRandom(20_261_130);
  const codes = new Map<string, number>();
  let [tried, refused, slowest, most] = [0, 0, 0, 0];
  for (const [path, read] of SOURCES) {
    const folder = await folderOf(`test/golden/${path}`);
    await read(memoryFiles(folder), encoder);
    const names = Object.keys(folder).filter((name) => /\.(json|bin|safetensors)$/.test(name));
    for (let i = 0; i < 300; i++, tried++) {
      const copy = { ...folder };
      for (let edits = 1 + Number(random.below(5) === 0); edits > 0; edits--) {
        const name = names[random.below(names.length)] as string;
        copy[name] = changed(name, copy[name] as Uint8Array, random);
      }
      const start = performance.now();
      try {
        await read(memoryFiles(copy), encoder);
      } catch (error) {
        const what = `change ${i} of ${path}`;
        if (!(error instanceof MultigraftError)) throw new Error(`${what} did not end in a typed error`, { cause: error });
        expect(error.code in ERROR_CODES, what).toBe(true);
        expect(error.message.length, `${what}: ${error.message.slice(0, 300)}`).toBeLessThan(2000);
        codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
        refused++;
      }
      slowest = Math.max(slowest, performance.now() - start);
      if (i % 50 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
  }
  expect(tried).toBe(5100);
  expect(refused).toBeGreaterThan(2000);
  expect(refused).toBeLessThan(tried - 500);
  expect(slowest).toBeLessThan(1000);
  expect(most).toBeLessThan(2 ** 31);
  for (const code of [
    'adapter.format',
    'adapter.mismatch',
    'method.config',
    'file.syntax',
    'file.truncated',
    'file.unsafe',
    'file.offsets',
  ])
    expect(codes.get(code) ?? 0, code).toBeGreaterThan(0);
});
