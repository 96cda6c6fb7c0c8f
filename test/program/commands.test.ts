import { cpSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorkspace, type Workspace } from './workspace.ts';

let place: Workspace;
const quick = ['--max-steps', '4', '--batch-size', '4', '--threads', '1'];

beforeAll(async () => {
  place = createWorkspace();
  for (const name of readdirSync(place.path('tasks'))) {
    const { code, err } = await place.run(['train', '--model', '@bert', '--task', `@tasks/${name}`, '--output', `@out/${name}`, ...quick]);
    expect([code, err.split('\n').filter((line) => line.startsWith('multigraft:'))], name).toEqual([0, []]);
  }
});

afterAll(() => place.remove());

/** Standard output as JSON lines. */
function jsonLines(out: string): Record<string, unknown>[] {
  return out.split('\n').map((line) => JSON.parse(line));
}

describe('multigraft predict', () => {
  const rows: Record<string, { row: object; form: RegExp; extra: string }> = {
    mood: { row: { text: 'a good day' }, form: /^"(good|bad)"$/, extra: 'logits' },
    pairs: { row: { text: 'a good day', textPair: 'a bad day' }, form: /^"(yes|no)"$/, extra: 'logits' },
    many: { row: { text: 'rain and sun' }, form: /^\[("(sun|rain|book)",?)*\]$/, extra: 'logits' },
    score: { row: { text: 'a good day' }, form: /^-?\d/, extra: 'logits' },
    words: { row: { tokens: ['a', 'good', 'book'] }, form: /^\["(O|B-thing)","(O|B-thing)","(O|B-thing)"\]$/, extra: 'logits' },
    choose: { row: { text: 'a day', choices: ['good', 'bad', 'sun'] }, form: /^[012]$/, extra: 'logits' },
    spans: { row: { context: 'the day was good', question: 'where' }, form: /^".+"$/, extra: 'spans' },
  };

  it.each(Object.entries(rows))('answers a row of %s in the form of its kind', async (name, { row, form, extra }) => {
    const args = ['predict', '--model', '@bert', '--adapter', `@out/${name}`, '--input', '-', '--scores'];
    const { code, out, err } = await place.run(args, `${JSON.stringify(row)}\n`);
    expect([code, err]).toEqual([0, '']);
    const [line] = jsonLines(out);
    expect(JSON.stringify(line?.prediction)).toMatch(form);
    expect(line).toHaveProperty(extra);
  });

  it('covers every kind of task', () => {
    expect(Object.keys(rows).sort()).toEqual(readdirSync(place.path('tasks')));
    expect(Object.keys(rows)).toHaveLength(7);
  });

  it('keeps the order of the rows and their ids, whatever their lengths', async () => {
    const texts = ['a', 'the day was good and the night was bad and the rain', 'a good book', 'the'];
    place.write('many.jsonl', texts.map((text, id) => JSON.stringify({ id, text })).join('\n'));
    const args = ['predict', '--model', '@bert', '--adapter', '@out/score'];
    const { code } = await place.run([...args, '--input', '@many.jsonl', '--output', '@deep/er/answers.jsonl']);
    expect(code).toBe(0);
    const together = jsonLines(place.read('deep/er/answers.jsonl').trim());
    expect(together.map(({ id }) => id)).toEqual([0, 1, 2, 3]);
    for (const [i, text] of texts.entries()) {
      const [alone] = jsonLines((await place.run([...args, text])).out);
      expect(together[i]?.prediction).toBeCloseTo(alone?.prediction as number, 4);
    }
  });

  it('takes columns by name, and CSV', async () => {
    place.write('rows.csv', 'id,first,second\nx1,a good day,a bad day\n');
    const { out } = await place.run([
      'predict',
      '--model',
      '@bert',
      '--adapter',
      '@out/pairs',
      '--input',
      '@rows.csv',
      '--text',
      'first',
      '--text-pair',
      'second',
    ]);
    expect(jsonLines(out)).toEqual([{ id: 'x1', prediction: expect.stringMatching(/yes|no/) }]);
  });

  it('takes a head that was trained alone', async () => {
    expect(
      (await place.run(['train', '--model', '@bert', '--task', '@tasks/mood', '--method', 'head', '--output', '@out-head', ...quick])).code,
    ).toBe(0);
    const { out } = await place.run(['predict', '--model', '@bert', '--adapter', '@out-head', 'a good day']);
    expect(jsonLines(out)).toEqual([{ prediction: expect.stringMatching(/good|bad/) }]);
  });

  it('takes a whole fine-tuned model without an adapter, and answers as training left it', async () => {
    const trained = await place.run([
      'train',
      '--model',
      '@bert',
      '--task',
      '@tasks/mood',
      '--method',
      'full',
      '--output',
      '@out-full',
      '--json',
      ...quick,
    ]);
    expect(trained.code).toBe(0);
    expect(readdirSync(place.path('out-full'))).toEqual(
      expect.arrayContaining(['config.json', 'head_config.json', 'model.safetensors', 'tokenizer.json']),
    );
    const { out, code } = await place.run(['evaluate', '--model', '@out-full', '--task', '@tasks/mood', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).metrics).toEqual(JSON.parse(trained.out).metrics.test);
  });

  it('splits a text into words for a head that tags them, and says so', async () => {
    const args = ['predict', '--model', '@bert', '--adapter', '@out/words'];
    const { out, err, code } = await place.run([...args, 'a good  book']);
    expect([code, jsonLines(out)[0]?.prediction]).toEqual([0, expect.arrayContaining([expect.stringMatching(/^(O|B-thing)$/)])]);
    expect(jsonLines(out)[0]?.prediction).toHaveLength(3);
    expect(err).toMatch(/^note: Texts were split at white space/);
  });

  it('answers a row whose own answer is of another label set', async () => {
    const args = ['predict', '--model', '@bert', '--adapter', '@out/mood', '--input', '-'];
    const { code, out } = await place.run(args, '{"text":"a good day","label":"unheard of"}\n');
    expect([code, jsonLines(out)[0]?.prediction]).toEqual([0, expect.stringMatching(/^(good|bad)$/)]);
  });

  it('says that a pair has one text only, where a column is named and where the head learnt from pairs', async () => {
    const args = ['predict', '--model', '@bert', '--adapter'];
    const note = (column: string) => `note: Rows without "${column}", the second text of a pair, are answered from their one text: 1 of 1.`;
    expect((await place.run([...args, '@out/pairs', '--text-pair', 'other', 'a good day'])).err).toBe(note('other'));
    expect((await place.run([...args, '@out/pairs', 'a good day'])).err).toBe(note('textPair'));
    expect((await place.run([...args, '@out/mood', '--text-pair', 'other', 'a good day'])).err).toBe(note('other'));
    expect((await place.run([...args, '@out/mood', 'a good day'])).err).toBe('');
    expect(JSON.parse(place.read('out/pairs/head_config.json')).text_pairs).toBe(true);
    expect(JSON.parse(place.read('out/mood/head_config.json'))).not.toHaveProperty('text_pairs');
  });

  it('says how many inputs were cut', async () => {
    const { err, code } = await place.run(['predict', '--model', '@bert', '--adapter', '@out/mood', 'good '.repeat(60)]);
    expect([code, err]).toEqual([0, 'note: 1 of 1 rows are longer than 40 tokens and were cut.']);
  });
});

describe('the length of training', () => {
  const long = 'good '.repeat(60);
  const cutAt = (tokens: number) => `note: 1 of 1 rows are longer than ${tokens} tokens and were cut.`;

  it.each(['seq_bn', 'head', 'full'])('is that of predictions with %s, unless another is asked for', async (method) => {
    const output = `@length-${method}`;
    const train = ['train', '--model', '@bert', '--task', '@tasks/mood', '--method', method, '--output', output, '--max-length', '4'];
    const trained = JSON.parse((await place.run([...train, '--json', ...quick])).out);
    const at = method === 'full' ? ['--model', output] : ['--model', '@bert', '--adapter', output];
    expect((await place.run(['predict', ...at, long])).err).toBe(cutAt(4));
    expect((await place.run(['predict', ...at, long, '--max-length', '9'])).err).toBe(cutAt(9));
    const { out, err } = await place.run(['evaluate', ...at, '--task', '@tasks/mood', '--json']);
    expect(JSON.parse(out).metrics).toEqual(trained.metrics.test);
    expect(err).toMatch(/^note: \d of 8 rows are longer than 4 tokens/);
  });

  it('is the usual one for a head that does not say', async () => {
    cpSync(place.path('length-head'), place.path('silent'), { recursive: true });
    const { max_length: length, ...rest } = JSON.parse(place.read('silent/head_config.json'));
    expect(length).toBe(4);
    place.write('silent/head_config.json', rest);
    expect((await place.run(['predict', '--model', '@bert', '--adapter', '@silent', long])).err).toBe(cutAt(40));
  });
});

describe('multigraft train', () => {
  const args = ['train', '--model', '@bert', ...quick];

  it('replaces an earlier result with --overwrite, and names the next command', async () => {
    const again = [...args, '--task', '@tasks/mood', '--output', '@again'];
    const first = await place.run(again);
    expect(first.out.replaceAll(`${place.root}/`, '@')).toContain(
      'Saved in @again. Next: multigraft predict --model @bert --adapter @again "A text of your own."',
    );
    expect((await place.run(again)).code).toBe(2);
    expect((await place.run([...again, '--overwrite'])).code).toBe(0);
    place.write('again/state/state.json', {});
    expect((await place.run(again)).err).toContain('Give --resume to go on, or --overwrite to start anew.');
    const { code, err } = await place.run([...again, '--overwrite']);
    expect([code, err]).toEqual([0, expect.stringContaining('The unfinished run in @again is replaced.')]);
    expect(readdirSync(place.path('again'))).not.toContain('state');
    expect(place.read('again/README.md')).toMatch(/"learningRate": 0\.\d+/);
  });

  it('says before a run without --output that it leaves nothing, and nothing of it before one that saves', async () => {
    const trial = 'A trial: nothing will be saved. --output FOLDER keeps the result.';
    const told = async (...more: string[]) => (await place.run([...args, '--task', '@tasks/mood', ...more])).err.split('\n')[0];
    expect(await told()).toBe(trial);
    expect([await told('--output', '@kept'), await told('--json')]).not.toContain(trial);
  });

  it('removes what the earlier result had and the new one has not, and nothing else', async () => {
    const always = ['README.md', 'head_config.json', 'log.jsonl', 'metrics.json', 'notes.md', 'pytorch_model_head.bin'];
    const full = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
    const adapter = ['adapter_config.json', 'pytorch_adapter.bin'];
    place.write('changing/metrics.json', {});
    place.write('changing/notes.md', 'of somebody');
    const namesAfter = async (method: string) => {
      const { code } = await place.run([...args, '--task', '@tasks/mood', '--output', '@changing', '--overwrite', '--method', method]);
      expect(code).toBe(0);
      return readdirSync(place.path('changing'));
    };
    expect(await namesAfter('full')).toEqual([...always, ...full].sort());
    expect(await namesAfter('seq_bn')).toEqual([...always, ...adapter].sort());
    place.write('changing/model.safetensors', 'of somebody');
    expect(await namesAfter('head')).toEqual([...always, 'model.safetensors'].sort());
    place.write('changing/metrics.json', { files: ['../bert', 'pytorch_model_head.bin', '..', 7] });
    expect(await namesAfter('seq_bn')).toEqual([...always, ...adapter, 'model.safetensors'].sort());
    expect(readdirSync(place.path('bert'))).toContain('config.json');
    expect(place.read('changing/notes.md') + place.read('changing/model.safetensors')).toBe('of somebodyof somebody');
  });

  it('says when nothing tells how good the result is', async () => {
    const { code, err } = await place.run([...args, '--task', '@tasks/mood/train.jsonl']);
    expect([code, err]).toEqual([0, expect.stringContaining('No validation rows: the last weights are kept and nothing is scored.')]);
  });
});

describe('multigraft evaluate', () => {
  it('gives the metrics that training gave, beside the majority answer', async () => {
    const saved = JSON.parse(place.read('out/mood/metrics.json'));
    const args = ['evaluate', '--model', '@bert', '--adapter', '@out/mood', '--task', '@tasks/mood'];
    const { out } = await place.run([...args, '--json']);
    expect(JSON.parse(out)).toMatchObject({
      task: 'mood',
      split: 'test',
      metric: 'accuracy',
      rows: 8,
      metrics: saved.metrics.test,
      majority: { answer: 'good', accuracy: 0.5 },
    });
    const text = (await place.run([...args, '--split', 'validation', '--limit', '5'])).out;
    expect(text).toMatch(/^mood \(validation\), mood: 5 rows in .*\n {2}accuracy +\d\.\d{4}/);
    expect(text).toMatch(/majority answer {2}0\.8000 {2}\(accuracy of always giving "good"\)$/);
  });
});

describe('multigraft inspect', () => {
  it('shows adapter and head with tensors, hash and sizes', async () => {
    const { out } = await place.run(['inspect', '@out/mood', '--json']);
    const { parts } = JSON.parse(out);
    expect(parts.map(({ kind }: { kind: string }) => kind)).toEqual(['adapter', 'head']);
    expect(parts[0]).toMatchObject({
      facts: { name: 'mood', model_type: 'bert', hidden_size: 32, method: 'bottleneck', hash: '9076f36a74755ac4' },
      parameters: 3 * (2 * 2 * 32 + 2 + 32),
      warnings: [],
    });
    expect(parts[0].tensors).toContainEqual({
      name: 'bert.encoder.layer.0.output.adapters.mood.adapter_down.0.weight',
      dtype: 'float32',
      shape: [2, 32],
    });
    const text = (await place.run(['inspect', '@out/mood'])).out;
    expect(text).toMatch(/\n {2}configuration +seq_bn\n/);
    expect(text).toMatch(/^adapter: .*out\/mood, 486 parameters in 12 tensors\n/);
    expect(text).toMatch(/\n\nhead: /);
  });

  it('shows an encoder with its tokenizer, a task, and a file of weights', async () => {
    const kinds = async (path: string) =>
      JSON.parse((await place.run(['inspect', path, '--json'])).out).parts.map(({ kind }: { kind: string }) => kind);
    expect(await kinds('@bert')).toEqual(['encoder', 'tokenizer']);
    expect(await kinds('@tasks/mood')).toEqual(['task']);
    expect(await kinds('@tasks/mood/test.jsonl')).toEqual(['task']);
    expect(await kinds('@bert/model.safetensors')).toEqual(['weights']);
    expect(await kinds('@out/mood/pytorch_adapter.bin')).toEqual(['weights']);
  });

  it('does not follow names of tasks that are no folders of a model', async () => {
    const config = { version: 1, method: 'joint', kind: 'encoder', encoder: false, tasks: ['.', '..', 'a/b', 'multitask_config.json', 7] };
    place.write('odd/multitask_config.json', config);
    const { code, out } = await place.run(['inspect', '@odd', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).parts).toMatchObject([{ kind: 'model of several tasks', facts: { method: 'joint' } }]);
  });

  it('shows how far an unfinished run is', async () => {
    const progress = { step: 7, best: { step: 4, metric: 0.5 } };
    place.write('run/state/state.json', { version: 1, saved: { progress }, settings: { epochs: 3 } });
    const { out } = await place.run(['inspect', '@run']);
    expect(out).toMatch(/^unfinished run: .*\n {2}step +7\n/);
    expect(out).toContain('the same command with --resume goes on');
  });

  it('warns of numbers that are not finite', async () => {
    const header = JSON.stringify({ w: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } });
    const bytes = new Uint8Array(8 + header.length + 8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
    bytes.set(new TextEncoder().encode(header), 8);
    new DataView(bytes.buffer).setFloat32(8 + header.length, Number.NaN, true);
    place.write('nan.safetensors', bytes);
    expect((await place.run(['inspect', '@nan.safetensors'])).out).toContain('warning: w holds 1 numbers that are not finite');
  });
});

describe('the lists', () => {
  it('summary counts as Python does', async () => {
    const { out } = await place.run(['summary', '--model', '@bert', '--adapter', '@out/mood', '--method', 'lora', '--json']);
    expect(JSON.parse(out)).toMatchObject([
      { name: 'mood', architecture: 'bottleneck', parameters: 486, active: false },
      { name: 'lora', architecture: 'low-rank', parameters: 3 * 2 * (8 * 32 * 2), active: true, train: true },
      { parameters: expect.any(Number), percent: 100, train: false },
    ]);
    const counts = async (...words: string[]) => JSON.parse((await place.run(['summary', '--model', '@bert', ...words, '--json'])).out);
    const [{ parameters: total }] = await counts();
    expect(await counts('--method', 'lora', '--method', 'full')).toMatchObject([
      { name: 'lora', active: false },
      { name: 'full', parameters: total, percent: 100, active: true, train: true },
      { name: 'bert', parameters: total, train: true },
    ]);
    expect(await counts('--method', 'head')).toMatchObject([{ name: 'head', parameters: 0, train: true }, { train: false }]);
    expect((await place.run(['summary', '--model', '@bert', '--method', 'head'])).err).toMatch(/^note: The head is not counted/);
    expect((await place.run(['summary', '--model', '@bert'])).out).toMatch(
      /^name +architecture +parameters +% of encoder +active +train\n/,
    );
    const conditional = ['summary', '--model', '@bert', '--method', 'ca_mtl_base', '--tasks', '5'];
    const { rows, reports } = JSON.parse((await place.run([...conditional, '--json'])).out);
    expect(rows).toMatchObject([{ name: 'bert', parameters: total }]);
    expect(reports).toMatchObject([{ method: 'ca_mtl_base', report: { parts: { taskEmbeddings: { all: 5 * 32, trained: 5 * 32 } } } }]);
    const { againstOneEncoder, againstSingleTask } = reports[0].report;
    expect(againstOneEncoder).toBeGreaterThan(1.05);
    expect(againstOneEncoder / againstSingleTask).toBeCloseTo(5, 9);
    expect((await place.run(conditional)).out).toContain(`${againstOneEncoder.toFixed(3)} × one encoder; 5 fine-tuned ones have 5 ×`);
    expect((await place.run(['summary', '--method', 'ca_mtl_base[variant="x"]'])).code).toBe(2);
    // The encoder that comes with the package has no pooler, and none is counted.
    const [own] = JSON.parse((await place.run(['summary', '--method', 'ca_mtl_base', '--json'])).out).reports;
    expect(own.report.parts.encoder.all).toBe(JSON.parse((await place.run(['summary', '--json'])).out)[0].parameters);
  });

  it('methods gives sizes on a base BERT and the sites', async () => {
    const all = JSON.parse((await place.run(['methods', '--json'])).out) as {
      presets: { names: string[]; parameters: number; sites: string[] }[];
    }[];
    const presets = all.flatMap((method) => method.presets);
    const size = (name: string) => presets.find(({ names }) => names.includes(name))?.parameters;
    expect([size('seq_bn'), size('houlsby'), size('lora'), size('full'), size('head')]).toEqual([894528, 1789056, 294912, 109482240, 0]);
    expect(presets.find(({ names }) => names.includes('lora'))?.sites).toEqual(['query', 'value']);
    expect(presets.length).toBeGreaterThanOrEqual(8);
    expect((await place.run(['methods'])).out).toContain('seq_bn');
    expect((await place.run(['methods', 'lora'])).out).toMatch(/ {2}attn_matrices +\["q","v"\]/);
  });

  it('encoders names every family', async () => {
    const all = JSON.parse((await place.run(['encoders', '--json'])).out) as { name: string; parameters: number }[];
    expect(all.map(({ name }) => name)).toEqual([
      'bert',
      'roberta',
      'xlm-roberta',
      'distilbert',
      'electra',
      'albert',
      'modernbert',
      'mpnet',
      'deberta-v2',
    ]);
    expect(all[0]?.parameters).toBe(109482240);
    expect((await place.run(['encoders'])).out).toMatch(/^model_type/);
  });

  it('help lists every command', async () => {
    const { out } = await place.run(['--help']);
    for (const name of ['demo', 'train', 'predict', 'evaluate', 'inspect', 'summary', 'tasks', 'methods', 'encoders', 'pretrain'])
      expect(out).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });
});

describe('multigraft demo', () => {
  const small = ['--model', '@bert', '--fast', '--limit', '8', '--epochs', '1', '--threads', '1'];

  it('trains, scores and asks all tasks, and keeps the adapters where asked', async () => {
    const { code, out, err } = await place.run(['demo', ...small, '--output', '@demo']);
    expect([code, err]).toEqual([0, '']);
    for (const i of [1, 2, 3, 4, 5])
      expect(out).toMatch(new RegExp(`^${i}/5 {2}\\w+ +\\w+ -?\\d\\.\\d{3}(?: \\(most frequent answer \\d\\.\\d{3}\\))? +in `, 'm'));
    expect(out).toContain('Asked something new');
    expect(out).toContain(`multigraft train --model ${place.path('bert')} --task FOLDER`);
    expect(readdirSync(place.path('demo'))).toEqual(['faq_match', 'order_slots', 'review_score', 'tickets_topic', 'tickets_urgency']);
    const { out: answer } = await place.run(['predict', '--model', '@bert', '--adapter', '@demo/tickets_topic', 'Where is my parcel?']);
    expect(out).toContain(`→ ${jsonLines(answer)[0]?.prediction}`);
  });

  it('gives numbers as JSON, and compares a fusion over five seeds, and CA-MTL, with one adapter', async () => {
    const { out } = await place.run(['demo', ...small.filter((flag) => flag !== '--fast'), '--json']);
    const { tasks, fusion, caMtl } = JSON.parse(out) as {
      tasks: { task: string; score: number; rows: number; answers: unknown[]; tfidf?: number }[];
      caMtl: { tasks: { task: string; adapter: number; caMtl: number }[]; size: { adapters: number; caMtl: number } };
      fusion: { fused: string[]; alone: number[]; fusion: number[]; difference: { mean: number; low: number; high: number } };
    };
    expect(fusion.fused.toSorted()).toEqual(['faq_match', 'order_slots', 'review_score', 'tickets_topic']);
    expect([fusion.alone.length, fusion.fusion.length]).toEqual([5, 5]);
    const gain = fusion.fusion.reduce((sum, value, i) => sum + value - (fusion.alone[i] as number), 0) / 5;
    expect(fusion.difference.mean).toBeCloseTo(gain, 10);
    expect(fusion.difference.low).toBeLessThanOrEqual(fusion.difference.mean);
    expect(tasks).toHaveLength(5);
    expect(tasks.every(({ rows, answers }) => rows === 400 && answers.length >= 2)).toBe(true);
    expect(tasks.filter(({ tfidf }) => tfidf !== undefined)).toHaveLength(4);
    expect(caMtl.tasks.map(({ task, adapter }) => [task, adapter])).toEqual(tasks.map(({ task, score }) => [task, score]));
    expect(caMtl.tasks.every((one) => Number.isFinite(one.caMtl))).toBe(true);
    expect(Math.min(caMtl.size.adapters, caMtl.size.caMtl)).toBeGreaterThan(1.01);
  });
});
