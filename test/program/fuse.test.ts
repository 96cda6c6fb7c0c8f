import { cpSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli, startCli, temporaryFolder } from '../cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../tiny.ts';
import { runHere } from './here.ts';
import { createWorkspace, type Workspace } from './workspace.ts';

const TASKS = ['mood', 'words', 'choose', 'spans', 'score', 'many', 'pairs'];
const quick = ['--max-steps', '2', '--batch-size', '4', '--threads', '1'];
let place: Workspace;

const fuse = (task: string, output: string, ...more: string[]) =>
  place.run(
    [
      ...['fuse', '--model', '@bert', '--adapter', '@out/mood', '--adapter', '@out/words', '--task', `@tasks/${task}`],
      ...['--output', `@fused/${output}`, ...quick, ...more],
    ].map(String),
  );

beforeAll(async () => {
  place = createWorkspace();
  for (const name of ['mood', 'words'])
    await place.run(['train', '--model', '@bert', '--task', `@tasks/${name}`, '--output', `@out/${name}`, ...quick]);
  const elsewhere = {
    distil: ['@distilbert', 'seq_bn'],
    double: ['@bert', 'double_seq_bn'],
    lora: ['@bert', 'lora'],
    lora2: ['@bert', 'lora[r=4]'],
    third: ['@bert', 'seq_bn[reduction_factor=4]'],
  };
  for (const [name, [model, method]] of Object.entries(elsewhere))
    await place.run([
      'train',
      '--model',
      model as string,
      '--method',
      method as string,
      '--task',
      '@tasks/mood',
      '--name',
      name,
      '--output',
      `@out/${name}`,
      ...quick,
    ]);
});

afterAll(() => place.remove());

describe('multigraft fuse', () => {
  it.each(TASKS)(
    'learns, saves and answers a task of any kind: %s',
    async (task) => {
      const { code, out, err } = await fuse(task, task, '--json');
      expect([code, err]).toEqual([0, '']);
      const { method, metrics, attention } = JSON.parse(out);
      expect(method).toBe('fusion of 2 adapters');
      expect(attention.adapters).toEqual(['mood', 'words']);
      expect(attention.sites).toHaveLength(3);
      for (const { attention: shares } of attention.sites) expect(shares[0] + shares[1]).toBeCloseTo(1, 5);
      const again = await place.run([
        'evaluate',
        '--model',
        '@bert',
        '--adapter',
        `@fused/${task}`,
        '--task',
        `@tasks/${task}`,
        '--json',
        '--threads',
        '1',
      ]);
      expect(again.err).toBe('');
      // Another batch rounds differently.
      for (const [metric, value] of Object.entries<number>(metrics.test ?? metrics.validation))
        expect(JSON.parse(again.out).metrics[metric], metric).toBeCloseTo(value, 4);
    },
    30_000,
  );

  it('shows which adapter each layer listens to, as table, JSON and picture', async () => {
    const { code, out } = await fuse('mood', 'report', '--report', '--fusion', 'dynamic[temperature=True, dropout_prob=0.2]');
    expect(code).toBe(0);
    const table = out.split('\n').filter((line) => /^(layer \d|mean) /.test(line));
    expect(table).toHaveLength(4);
    for (const line of table) expect(line).toMatch(/^(layer \d|mean) +\d+\.\d +\d+\.\d$/);
    expect(JSON.parse(place.read('fused/report/attention.json')).mean).toHaveLength(2);
    expect(place.read('fused/report/attention.svg')).toMatch(/^<svg .*>words<.*<\/svg>\n$/s);
    expect(readFileSync(place.path('fused/report/attention.png')).subarray(1, 4).toString()).toBe('PNG');
  });

  it('is answered from by its folder, its parts, or a text that says what they are put together to', async () => {
    const answer = async (...more: string[]) => {
      const { code, out, err } = await place.run(['predict', '--model', '@bert', ...more, '--scores', '--threads', '1', 'a good day']);
      return { code, err, logits: code === 0 ? (JSON.parse(out).logits as number[]) : undefined };
    };
    const parts = ['--adapter', '@fused/report/mood', '--adapter', '@fused/report/words'];
    const name = JSON.parse((await place.run(['inspect', '@fused/report', '--json'])).out).parts.find(
      ({ kind }: { kind: string }) => kind === 'fusion',
    ).facts.name;
    const fused = [...parts, '--fusion', `@fused/report/${name}`];
    const whole = await answer('--adapter', '@fused/report');
    expect(whole).toMatchObject({ code: 0, err: '' });
    expect((await answer('--setup', '@fused/report')).logits).toEqual(whole.logits);
    expect((await answer(...fused)).logits).toEqual(whole.logits);
    expect((await answer(...fused, '--setup', `Fuse(mood, words, name='${name}')`)).logits).toEqual(whole.logits);
    const none = await answer('--setup', '@fused/report', '--skip-layers', '0,1,2');
    const two = await answer('--setup', '@fused/report', '--skip-layers', '0', '--skip-layers', '1');
    expect(none.logits).not.toEqual(two.logits);
    expect(two.logits).not.toEqual(whole.logits);
    const stacked = ['--adapter', '@out/mood', '--adapter', '@out/words', '--setup', 'Stack(words, mood)'];
    expect((await answer(...stacked)).code).toBe(0);
    expect((await answer(...parts, '--setup', 'Stack(words, mod)')).err).toContain("adapter 'mod': found none of that name");
    expect((await answer(...parts, '--setup', 'Stak(words, mood)')).err).toContain("Did you mean 'Stack'?");
    expect((await answer(...parts)).err).toContain('unless --setup says what they are put together to');
    expect((await answer('--setup', '@fused/report', '--skip-layers', '3')).err).toContain('layers to skip: found 3');
  });

  it('tells for each row which adapters it listened to', async () => {
    const explain = (adapter: string) =>
      place.run(['predict', '--model', '@bert', '--adapter', adapter, '--explain', '--threads', '1', 'a good day', 'the night']);
    const { code, out } = await explain('@fused/report');
    expect(code).toBe(0);
    const answers = out.split('\n').map((line) => JSON.parse(line));
    expect(answers).toHaveLength(2);
    for (const { attention } of answers) {
      expect(Object.keys(attention)).toEqual(['mean', '0.output', '1.output', '2.output']);
      for (const shares of Object.values<Record<string, number>>(attention))
        expect((shares.mood as number) + (shares.words as number)).toBeCloseTo(1, 2);
    }
    expect((await explain('@out/mood')).err).toBe(
      'multigraft: --explain: found the adapter mood alone; expected a fusion, whose attention can be shown. Give --adapter the folder that multigraft fuse made.',
    );
  });

  it('mixes LoRA adapters of different ranks, which Python cannot', async () => {
    const both = ['--adapter', '@out/lora', '--adapter', '@out/lora2'];
    const common = ['--model', '@bert', '--task', '@tasks/mood'];
    const { code, out, err } = await place.run(['fuse', ...common, ...both, '--output', '@fused/low', ...quick, '--json']);
    expect([code, err]).toEqual([0, '']);
    const { attention, metrics } = JSON.parse(out);
    expect(attention.sites.map(({ layer, place: at }: { layer: number; place: string }) => `${layer} ${at}`)).toEqual([
      ...['0 query', '0 value', '1 query', '1 value', '2 query', '2 value'],
    ]);
    const again = await place.run(['evaluate', ...common, '--adapter', '@fused/low', '--json', '--threads', '1']);
    expect(JSON.parse(again.out).metrics.accuracy).toBeCloseTo((metrics.test ?? metrics.validation).accuracy, 5);
  });

  it('makes a folder that inspect explains, part by part', async () => {
    const { code, out } = await place.run(['inspect', '@fused/report', '--json']);
    expect(code).toBe(0);
    const { parts } = JSON.parse(out) as {
      parts: { kind: string; facts: Record<string, unknown>; parameters?: number; warnings: string[] }[];
    };
    expect(parts.map(({ kind }) => kind)).toEqual(['setup', 'adapter', 'adapter', 'fusion', 'head']);
    expect(parts[0]?.facts.setup).toBe('fuse(mood, words)');
    expect(parts[3]?.facts.adapter_names).toEqual(['mood', 'words']);
    expect(parts[3]?.parameters).toBeGreaterThan(1000);
    expect(parts.flatMap(({ warnings }) => warnings)).toEqual([]);
  });

  it('chooses from a shelf what explains the rows, and says why', async () => {
    const adapters = ['--adapter', '@out/mood', '--adapter', '@out/words', '--adapter', '@out/third'];
    const common = ['fuse', '--model', '@bert', '--task', '@tasks/mood', ...quick, ...adapters];
    const { code, out } = await place.run([...common, '--choose', '2', '--output', '@fused/chosen']);
    expect(code).toBe(0);
    const lines = out.split('\n');
    const at = lines.findIndex((line) => line.startsWith('Adapters by the evidence'));
    expect(lines[at]).toContain('over 8 observations:');
    const { scores, chosen } = JSON.parse(place.read('fused/chosen/choice.json'));
    expect(lines.slice(at + 2, at + 5).map((line) => line.split(/ +/)[0])).toEqual(scores.map(({ name }: { name: string }) => name));
    const { adapters: fused } = JSON.parse(place.read('fused/chosen/attention.json'));
    expect(fused).toEqual(chosen.map(({ name }: { name: string }) => name));
    expect(fused).toHaveLength(2);
    const all = await place.run([...common, '--choose', '4']);
    expect([all.code, all.err]).toEqual([2, 'multigraft: --choose: found 4; expected a number from 1 to 3, the adapters there are.']);
  });

  it('fuses all that lie on a shelf', async () => {
    for (const name of ['mood', 'words']) cpSync(place.path('out', name), place.path('shelf', name), { recursive: true });
    place.write('shelf/notes/read.me', 'no adapter');
    const { code, out, err } = await place.run([
      'fuse',
      '--model',
      '@bert',
      '--task',
      '@tasks/pairs',
      '--shelf',
      '@shelf',
      ...quick,
      '--json',
    ]);
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out).attention.adapters).toEqual(['mood', 'words']);
    const none = await place.run(['fuse', '--model', '@bert', '--task', '@tasks/pairs', '--shelf', '@tasks']);
    expect([none.code, none.err]).toEqual([
      2,
      expect.stringContaining('--shelf @tasks: found none; expected two or more adapters to mix.'),
    ]);
  });

  it('of several tasks: the command attention shows who listens to whom', async () => {
    const { code, out } = await place.run(['attention', '@fused/words', '@fused/mood', '@fused/score', '--output', '@view']);
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines[1]?.trim().split(/ +/)).toEqual(['mood', 'words']);
    expect(lines[2]).toMatch(/^mood +\[\d+\.\d\] +\d+\.\d$/);
    expect(lines[3]).toMatch(/^words +\d+\.\d +\[\d+\.\d\]$/);
    expect(lines[4]).toMatch(/^score +\d+\.\d +\d+\.\d$/);
    expect(out).toMatch(
      /^The adapter of the task itself, in brackets, gets \d+\.\d %, each other one \d+\.\d %; it gets the most in [012] of 2 tasks\.$/m,
    );
    expect(place.read('view/attention.svg').match(/stroke="#d9822b"/g)).toHaveLength(2);
    expect(JSON.parse(place.read('view/attention.json')).tasks).toHaveLength(3);
    expect(readFileSync(place.path('view/attention.png')).subarray(1, 4).toString()).toBe('PNG');
  });

  it('trains the adapters too when asked', async () => {
    expect((await fuse('mood', 'unfrozen', '--unfreeze-adapters')).code).toBe(0);
    const bytes = (folder: string) => readFileSync(place.path(folder, 'pytorch_adapter.bin'));
    expect(bytes('fused/unfrozen/mood').equals(bytes('out/mood'))).toBe(false);
    expect(bytes('fused/mood/mood').equals(bytes('out/mood'))).toBe(true);
  });

  it.each([
    ['fuse --task @tasks/mood', 2, '--adapter: found none; expected two or more adapters to mix. Train them'],
    ['fuse --task @tasks/mood --adapter @out/mood', 2, '--adapter: found one adapter; expected two or more'],
    [
      'fuse --task @tasks/mood --adapter @out/mood --adapter @out/mood',
      1,
      "@out/mood: found an adapter named 'mood', as one before it; expected adapters of different names.",
    ],
    [
      'fuse --task @tasks/mood --adapter @out/mood --adapter @out/double',
      1,
      "the fused adapter 'double': found modules after attention and output; expected modules after output, as 'mood' has.",
    ],
    [
      'fuse --task @tasks/mood --adapter @out/mood --adapter @out/lora',
      1,
      "the fused adapter 'lora': found low-rank updates of query, value; expected modules after output, as 'mood' has.",
    ],
    ['fuse --task @tasks/mood --adapter @out/mood --adapter @out/distil', 1, 'distilbert'],
    ['fuse --task @tasks/mood --adapter @out/mood --adapter @out/none', 1, '@out/none'],
    [
      'fuse --task @tasks/mood --adapter @out/mood --adapter @out/words --fusion dynamc',
      2,
      `--fusion: found "dynamc"; expected dynamic or static. Did you mean 'dynamic'?`,
    ],
    [
      'fuse --task @tasks/mood --adapter @out/mood --adapter @out/words --fusion dynamic[tempreature=True]',
      2,
      "--fusion: key 'tempreature': found no such key; expected key, query,",
    ],
  ])('%s', async (line, code, message) => {
    const outcome = await place.run([...line.split(' '), '--model', '@bert', '--threads', '1']);
    expect(outcome.err).toContain(`multigraft: `);
    expect(outcome.err).toContain(message);
    expect(outcome.code).toBe(code);
    expect(outcome.err).not.toContain('    at ');
  });
});

describe('multigraft prune', () => {
  const prune = (adapter: string, ...more: string[]) =>
    place.run(['prune', '--model', '@bert', '--adapter', adapter, '--task', '@tasks/mood', '--threads', '1', ...more]);

  it('says what each adapter is worth, drops down to the tolerance, and saves what is left', async () => {
    expect((await fuse('mood', 'three', '--adapter', '@out/third')).code).toBe(0);
    const { code, out, err } = await prune('@fused/three', '--tolerance', '1', '--output', '@fused/small');
    expect([code, err]).toEqual([0, '']);
    const lines = out.split('\n');
    expect(lines[0]).toMatch(/^All 3 adapters: accuracy \d\.\d{4} on \d+ rows\.$/);
    expect(
      lines
        .slice(2, 5)
        .map((line) => line.split(/ +/)[0])
        .sort(),
    ).toEqual(['mood', 'third', 'words']);
    expect(lines[5]).toMatch(/^1 adapter: accuracy/);
    const { kept, dropped, full, adapters } = JSON.parse(place.read('fused/small/pruning.json'));
    expect([kept.children.length, dropped.length]).toEqual([1, 2]);
    expect(adapters.reduce((sum: number, one: { attention: number }) => sum + one.attention, 0)).toBeCloseTo(1, 5);
    const small = await place.run([
      'evaluate',
      '--model',
      '@bert',
      '--adapter',
      '@fused/small',
      '--task',
      '@tasks/mood',
      '--split',
      'validation',
      '--json',
      '--threads',
      '1',
    ]);
    expect(JSON.parse(small.out).metrics.accuracy).toBeCloseTo(dropped[1].metric, 5);
    const whole = await place.run([
      'evaluate',
      '--model',
      '@bert',
      '--adapter',
      '@fused/three',
      '--task',
      '@tasks/mood',
      '--split',
      'validation',
      '--json',
      '--threads',
      '1',
    ]);
    expect(JSON.parse(whole.out).metrics.accuracy).toBeCloseTo(full, 5);
  });

  it('leaving one out by its score equals a fusion without it', async () => {
    const { out } = await prune('@fused/three', '--json', '--tolerance', '0');
    const { adapters } = JSON.parse(out) as { adapters: { name: string; without: number }[] };
    const setup = JSON.parse(place.read('fused/three/adapter_setup.json'));
    for (const { name, without } of adapters) {
      cpSync(place.path('fused/three'), place.path(`without-${name}`), { recursive: true });
      const children = setup.adapter_setup.children.filter((child: { children: string[] }) => child.children[0] !== name);
      place.write(`without-${name}/adapter_setup.json`, { ...setup, adapter_setup: { ...setup.adapter_setup, children } });
      const fusion = place.path(`without-${name}`, 'mood-fusion', 'adapter_fusion_config.json');
      const config = JSON.parse(readFileSync(fusion, 'utf8'));
      place.write(`without-${name}/mood-fusion/adapter_fusion_config.json`, {
        ...config,
        adapter_names: children.map((child: { children: string[] }) => child.children[0]),
      });
      const one = await place.run([
        'evaluate',
        '--model',
        '@bert',
        '--adapter',
        `@without-${name}`,
        '--task',
        '@tasks/mood',
        '--split',
        'validation',
        '--json',
        '--threads',
        '1',
      ]);
      expect(one.err).toBe('');
      expect(JSON.parse(one.out).metrics.accuracy, name).toBeCloseTo(without, 5);
    }
  });

  it.each([
    ['@out/mood', [], '--adapter'],
    ['@fused/three', ['--output', '@fused/three'], '--output: found @fused/three, which exists; expected a new folder.'],
  ])('refuses %s %j', async (adapter, more, message) => {
    const { code, err } = await prune(adapter, ...more);
    expect(code).toBeGreaterThan(0);
    expect(err).toContain(message === '--adapter' ? 'pruning: found mood; expected an active fusion of adapters.' : message);
  });
});

describe('multigraft distill', () => {
  const strong = ['--model', '@bert', '--batch-size', '4', '--threads', '1', '--dropout', '0'];

  beforeAll(async () => {
    for (const name of ['mood', 'words'])
      await place.run([
        'train',
        ...strong,
        '--task',
        `@tasks/${name}`,
        '--output',
        `@strong/${name}`,
        '--learning-rate',
        '0.05',
        '--max-steps',
        '40',
      ]);
  });

  it.each(['mood', 'words', 'choose', 'spans', 'score', 'many'])(
    'makes one adapter that answers as the fusion does, without labels: %s',
    async (task) => {
      const both = ['--adapter', '@strong/mood', '--adapter', '@strong/words'];
      const fused = ['fuse', ...strong, ...both, '--task', `@tasks/${task}`, '--learning-rate', '0.02', '--max-steps', '30'];
      expect((await place.run([...fused, '--output', `@strong/${task}-fused`])).code).toBe(0);
      const made = await place.run([
        ...['distill', ...strong, '--adapter', `@strong/${task}-fused`, '--task', `@tasks/${task}`, '--output', `@one/${task}`, '--json'],
        ...['--max-steps', '100', '--learning-rate', '0.01', '--method', 'seq_bn[reduction_factor=2]'],
      ]);
      expect([made.code, made.err]).toEqual([0, '']);
      const losses = place
        .read(`one/${task}/log.jsonl`)
        .split('\n')
        .flatMap((line) => (line.includes('"loss"') ? [JSON.parse(line).loss as number] : []));
      expect(losses).toHaveLength(100);
      expect(losses[0]).toBeGreaterThan(1e-6);
      const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
      expect(mean(losses.slice(-10))).toBeLessThan(mean(losses.slice(0, 10)) / 4);
    },
    60_000,
  );

  it('refuses what is no fusion, and a start that is not in it', async () => {
    const common = ['distill', '--model', '@bert', '--task', '@tasks/mood', '--threads', '1'];
    const none = await place.run([...common, '--adapter', '@out/mood']);
    expect([none.code, none.err]).toEqual([2, expect.stringContaining('@out/mood: found an adapter; expected a fusion of adapters. Give')]);
    const start = await place.run([...common, '--adapter', '@fused/mood', '--start', 'wrds']);
    expect(start.err).toContain('--start wrds: found no such adapter in the fusion; expected one of mood, words.');
  });

  it('keeps the labels of the fusion, whatever order the card has, and refuses others before anything is written', async () => {
    await fuse('mood', 'labelled');
    const distill = (task: string, output: string) =>
      place.run([
        ...['distill', '--model', '@bert', '--adapter', '@fused/labelled', '--task', task, '--output', output],
        ...['--max-steps', '2', '--batch-size', '4', '--threads', '1', '--json'],
      ]);
    const card = JSON.parse(place.read('tasks/mood/card.json'));
    cpSync(place.path('tasks/mood'), place.path('turned/mood'), { recursive: true });
    place.write('turned/mood/card.json', { ...card, labels: card.labels.toReversed() });
    expect((await distill('@turned/mood', '@one/turned')).code).toBe(0);
    expect(JSON.parse(place.read('one/turned/head_config.json')).config.label2id).toEqual(
      JSON.parse(place.read('fused/labelled/mood-fusion/head_config.json')).config.label2id,
    );

    const other = await distill('@tasks/words', '@one/other');
    expect(other.err).toContain("task words: found the kind tagging; expected classification, which the head 'mood-fusion' answers.");
    place.write('renamed/mood/card.json', { ...card, labels: ['fine', 'poor'] });
    for (const split of ['train', 'validation'])
      place.write(
        `renamed/mood/${split}.jsonl`,
        place.read(`tasks/mood/${split}.jsonl`).replaceAll('good', 'fine').replaceAll('bad', 'poor'),
      );
    const renamed = await distill('@renamed/mood', '@one/other');
    expect(renamed.err).toContain("found the labels fine, poor; expected labels of the head 'mood-fusion': good, bad.");
    const itself = await distill('@tasks/mood', '@fused/labelled');
    expect(itself.err).toContain('--output: found @fused/labelled, the fusion itself; expected another folder');
    expect(existsSync(place.path('one/other'))).toBe(false);
  });
});

describe('folders of fusions', () => {
  it('a fusion may not have the name of an adapter, nor be fused itself, nor answer without its adapters', async () => {
    const named = await fuse('mood', 'named', '--name', 'words');
    expect([named.code, named.err]).toEqual([2, expect.stringContaining("--name: found 'words', the name of one of the adapters;")]);
    expect(existsSync(place.path('fused/named/state'))).toBe(false);
    expect((await fuse('mood', 'parts')).code).toBe(0);
    const nested = await fuse('mood', 'nested', '--adapter', '@fused/parts');
    expect(nested.err).toContain('@fused/parts: found a fusion; expected an adapter.');
    const inner = await place.run(['predict', '--model', '@bert', '--adapter', '@fused/parts/mood-fusion', 'a']);
    expect(inner.err).toContain('--adapter: found @fused/parts/mood-fusion, a fusion without its adapters; expected');
  });

  it('--overwrite leaves nothing of the earlier fusion, and nothing else is touched', async () => {
    await fuse('mood', 'again', '--adapter', '@out/third', '--report');
    place.write('fused/again/notes.md', 'mine');
    place.write('elsewhere/kept.txt', 'mine');
    // A list that a stranger wrote: a way out of the folder, and a link.
    symlinkSync(place.path('elsewhere'), place.path('fused/again/link'));
    const metrics = JSON.parse(place.read('fused/again/metrics.json'));
    expect(metrics.files).toContain('third/adapter_config.json');
    place.write('fused/again/metrics.json', { ...metrics, files: [...metrics.files, '../mood/metrics.json', 'link/kept.txt', 7] });
    expect((await fuse('mood', 'again', '--overwrite')).code).toBe(0);
    expect(existsSync(place.path('fused/again/third'))).toBe(false);
    expect(existsSync(place.path('fused/again/attention.svg'))).toBe(false);
    expect(place.read('fused/again/notes.md')).toBe('mine');
    expect(place.read('elsewhere/kept.txt')).toBe('mine');
    expect(JSON.parse(place.read('fused/again/metrics.json')).files).not.toContain('third/adapter_config.json');
  });

  it('attention does not draw over a fusion', async () => {
    await fuse('mood', 'drawn');
    const before = place.read('fused/drawn/attention.json');
    const { code, err } = await place.run(['attention', '@fused/drawn', '--output', '@fused/drawn']);
    expect([code, err]).toEqual([2, expect.stringContaining('--output: found @fused/drawn, the folder of a fusion or adapter; expected')]);
    expect(place.read('fused/drawn/attention.json')).toBe(before);
    expect((await place.run(['attention', '@fused/drawn', '--output', '@view'])).code).toBe(0);
    expect((await place.run(['attention', '@fused/drawn', '--output', '@view'])).code).toBe(0);
  });
});

it('a fusion killed in the middle ends as one that was not', async () => {
  const folder = temporaryFolder();
  const encoder = await writeTinyEncoder(folder);
  const task = await writeTinyTask(folder, 'classification');
  const common = ['--model', encoder, '--task', task, '--batch-size', '8', '--threads', '1', '--json'];
  const adapters = ['one', 'two'].map((name) => join(folder, name));
  for (const [seed, output] of adapters.entries())
    await runHere(['train', ...common, '--name', `a${seed}`, '--seed', `${seed}`, '--max-steps', '3', '--output', output]);
  const run = (output: string, ...more: string[]) => [
    ...['fuse', ...common, ...adapters.flatMap((path) => ['--adapter', path]), '--output', join(folder, output)],
    ...['--max-steps', '120', '--dropout', '0.1', '--save-every', '3', '--eval-every', '40', ...more],
  ];
  expect((await runHere(run('whole'))).code).toBe(0);
  const killed = startCli(run('killed'));
  const state = join(folder, 'killed/state/state.json');
  while (!existsSync(state) || JSON.parse(readFileSync(state, 'utf8')).saved === null)
    await new Promise((resolve) => setTimeout(resolve, 5));
  killed.process.kill('SIGKILL');
  await killed.ended;
  const resumed = await runCli(run('killed', '--resume'));
  expect([resumed.code, resumed.stderr]).toEqual([0, '']);
  const name = JSON.parse(resumed.stdout).name as string;
  for (const file of [`${name}/pytorch_model_adapter_fusion.bin`, `${name}/pytorch_model_head.bin`, 'adapter_setup.json'])
    expect(readFileSync(join(folder, 'killed', file)).equals(readFileSync(join(folder, 'whole', file))), file).toBe(true);
});
