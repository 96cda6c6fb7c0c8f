import { expect, test } from 'vitest';
import { configHash } from '../../src/checkpoint/index.ts';
import { configInAdapters, configureMethod, type MethodConfig, methodOfConfig } from '../../src/methods/index.ts';
import { readCases } from './forward.ts';

interface Read {
  readonly text: string;
  readonly error?: string;
  readonly config?: MethodConfig;
  readonly hash?: string;
}

const { strings, hashes } = readCases<{ strings: Read[]; hashes: { config: MethodConfig; hash: string }[] }>('config-strings.json');

/** What Python reads, with settings that are refused here by name. */
const REFUSED: Readonly<Record<string, string>> = {
  "lora[attn_matrices=['q' 'k']]": "key 'attn_matrices.0'",
  // B of it would stay at zero.
  'lora[vera_d=0.1, vera_b=0.0]': "key 'init_weights'",
  'lora[r=None]': "key 'r'",
  "lora[leave_out={'a': [1]}]": "key 'leave_out'",
};
/** What Python refuses though it can be meant in one way only; members at one place are refused where they are attached. */
const ALSO_READ = ['lora|lora', 'lora [r=4]', 'lora[r =4]', 'lora[use_gating=true]', "prompt_tuning[prompt_init_text='a|b']"];

test('configuration strings are read as Python reads them, or refused', () => {
  expect(strings.length).toBeGreaterThanOrEqual(80);
  const wrong: string[] = [];
  for (const { text, config } of strings) {
    const read = attempt(text);
    if (config && REFUSED[text] !== undefined) expect(read, text).toContain(REFUSED[text]);
    else if (config && typeof read === 'string') wrong.push(`${text}: ${read}`);
    else if (config) expect(read, text).toEqual(config);
    else if (ALSO_READ.includes(text)) expect(read, text).not.toBeTypeOf('string');
    else if (typeof read !== 'string') wrong.push(`${text}: read`);
  }
  expect(wrong).toEqual([]);
});

test('hashes of configurations with any settings are those of Python', async () => {
  const known = [...hashes, ...strings.filter(({ hash, text }) => hash && REFUSED[text] === undefined)];
  expect(known.length).toBeGreaterThanOrEqual(95);
  for (const { config, hash } of known) {
    const configured = methodOfConfig(config as MethodConfig, 'golden');
    expect(await configHash(configInAdapters(configured), configured.method.floatKeys), JSON.stringify(config)).toBe(hash);
  }
});

function attempt(text: string): MethodConfig | string {
  try {
    return configInAdapters(configureMethod(text));
  } catch (error) {
    return (error as Error).message;
  }
}
