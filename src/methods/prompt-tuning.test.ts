import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount, float32, int32, type Tensor } from '../base/tensor.ts';
import { drawEncoder, loadEncoder } from '../encoders/index.ts';
import { firstValues } from '../model/first-values.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { FileWeight } from '../session/session.ts';
import { ATTACHMENT_RULES, checkAttachment } from '../testing/index.ts';
import { type Attachment, attach, attachComposition, configureMethod, stack } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const { config, family } = encoder;
const facts = { encoder: config, family };
const attached = (text: string) => attach(configureMethod(text), { ...facts, name: 'x' });
const PROMPT = 'bert.prompt_tuning.prompt_tunings.x.prompt_embedding.weight';

/** Fixed numbers for parameters, by name and place. */
function values({ parameters: specs }: Attachment): Map<string, Tensor> {
  const value = (name: string, i: number) => 0.3 * Math.sin(i * (1 + (name.length % 7)));
  return new Map(
    specs.map(({ name, shape }) => [
      name,
      float32(
        shape,
        Array.from({ length: elementCount(shape) }, (_, i) => value(name, i)),
      ),
    ]),
  );
}

/** For two sequences of three tokens, the second with a pad: every token's output and that of the sequence. */
async function encode(attachment: Attachment, tensors = values(attachment)): Promise<{ output: number[]; first: number[] }> {
  const resolve = parameters(() => false);
  const hooks = attachment.hooks(resolve, noDropout);
  const { output, first } = drawEncoder({ config, family, parameters: resolve, dropout: noDropout, hooks, read: 'all' });
  const weights = new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]);
  const session = await referenceEngine().compile({ outputs: { output, first } }, weights);
  const results = await session.run({
    inputIds: int32([2, 3], [5, 6, 7, 8, 9, 0]),
    tokenTypeIds: int32([2, 3], new Int32Array(6)),
    attentionMask: float32([2, 3], [1, 1, 1, 1, 1, 0]),
  });
  const numbers = (name: 'output' | 'first') => Array.from(results[name]?.data ?? [], Number);
  return { output: numbers('output'), first: numbers('first') };
}

const firstOfText = (output: readonly number[]) => [0, 1].flatMap((row) => output.slice(row * 3 * 32, row * 3 * 32 + 32));

describe('a prompt', () => {
  it('is read by the text, and stands for the sequence where it stands before it', async () => {
    const bare = await encode({ ...attached('prompt_tuning'), hooks: () => ({}) });
    const before = await encode(attached('prompt_tuning'));
    const after = await encode(attached("prompt_tuning[combine='prefix_after_bos']"));
    for (const { output } of [before, after]) {
      expect(output).toHaveLength(2 * 3 * 32);
      expect(Math.max(...output.map((x, i) => Math.abs(x - (bare.output[i] as number))))).toBeGreaterThan(0.01);
    }
    // Without positions its place among the tokens changes nothing for the text.
    after.output.forEach((x, i) => void expect(x).toBeCloseTo(before.output[i] as number, 10));
    expect(after.first).toEqual(firstOfText(after.output));
    expect(before.first).not.toEqual(firstOfText(before.output));
  });

  it('starts within a half of zero; one that starts from a text needs a tokenizer when it is made, not when it is read', async () => {
    const [spec] = attached('prompt_tuning[prompt_length=40]').parameters;
    const drawn = await firstValues(spec ? [spec] : [], encoder, { seed: 1 });
    const numbers = Array.from(drawn.get(PROMPT)?.data ?? [], Number);
    expect(numbers).toHaveLength(40 * 32);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(0.5);
    expect(Math.max(...numbers)).toBeGreaterThan(0.49);
    expect(Math.min(...numbers)).toBeLessThan(-0.49);
    const { parameters: specs } = attached("prompt_tuning[prompt_init='from_string', prompt_init_text='Is it good?']");
    expect(specs.map(({ shape }) => shape)).toEqual([[10, 32]]);
    await expect(firstValues(specs, encoder, { seed: 1 })).rejects.toThrow(
      `found 'from_string' with "Is it good?", where no tokenizer is at hand; expected 'random_uniform'`,
    );
    const context = { ...facts, name: 'x', tokenize: () => [5] };
    const { parameters: empty } = attach(configureMethod("prompt_tuning[prompt_init='from_string']"), context);
    await expect(firstValues(empty, encoder, { seed: 1 })).rejects.toThrow("expected a text in 'prompt_init_text'");
  });
});

describe('beside other methods', () => {
  it('in a union, an invertible adapter changes the text and not the prompt, whichever comes first', async () => {
    const [one, other] = await Promise.all(['prompt_tuning|seq_bn_inv', 'seq_bn_inv|prompt_tuning'].map((text) => encode(attached(text))));
    expect(one?.output).toEqual(other?.output);
    expect(one?.first).toEqual(other?.first);
    const inside = await Promise.all(
      ["prompt_tuning[combine='prefix_after_bos']|seq_bn_inv", "seq_bn_inv|prompt_tuning[combine='prefix_after_bos']"].map((text) =>
        encode(attached(text)),
      ),
    );
    expect(inside[0]).toEqual(inside[1]);
    inside[0]?.output.forEach((x, i) => void expect(x).toBeCloseTo(one?.output[i] as number, 10));
  });

  it('in a stack it comes first or not at all', async () => {
    const adapters = new Map([
      ['p', configureMethod('prompt_tuning')],
      ['b', configureMethod('seq_bn')],
    ]);
    const stacked = (...names: string[]) => attachComposition(stack(...names), { adapters, fusions: new Map() }, facts);
    const union = attached('prompt_tuning|seq_bn');
    const given = values(union);
    const renamed = new Map([...given].map(([name, value]) => [name.replace('.x.', name === PROMPT ? '.p.' : '.b.'), value]));
    expect(await encode(stacked('p', 'b'), renamed)).toEqual(await encode(union, given));
    expect(() => stacked('b', 'p')).toThrow(
      "adapter 'p': found the method prompt_tuning, which acts at the site 'embedded' alone, behind 'b'",
    );
  });
});

it.each(['prompt_tuning[prompt_length=3]', "prompt_tuning[prompt_length=3, combine='prefix_after_bos']"])(
  '%s keeps the rules where positions are turned and windows local',
  async (text) => {
    const modern = await loadEncoder(nodeFiles, 'test/golden/encoders/modernbert');
    const attachment = attach(configureMethod(text), { encoder: modern.config, family: modern.family, name: 'x' });
    const rules = await checkAttachment({ name: text, encoder: modern, attachment });
    expect(rules).toEqual(ATTACHMENT_RULES.filter((rule) => rule !== 'tasks' && rule !== 'engines'));
  },
);
