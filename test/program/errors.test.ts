import { cpSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorkspace, type Workspace } from './workspace.ts';

let place: Workspace;

beforeAll(async () => {
  place = createWorkspace();
  const quick = ['--max-steps', '1', '--batch-size', '4', '--threads', '1'];
  for (const name of ['mood', 'words', 'choose', 'spans'])
    await place.run(['train', '--model', '@bert', '--task', `@tasks/${name}`, '--output', `@out/${name}`, ...quick]);
  await place.run(['train', '--model', '@distilbert', '--task', '@tasks/mood', '--output', '@out/distil', ...quick]);
  const copy = (from: string, to: string) => cpSync(place.path(from), place.path(to), { recursive: true });
  const change = (file: string, fields: object) => place.write(file, { ...JSON.parse(place.read(file)), ...fields });

  for (const name of ['headless', 'weightless', 'cut', 'wide', 'other-method', 'odd-labels', 'odd-length', 'odd-pairs'])
    copy('out/mood', name);
  for (const file of ['head_config.json', 'pytorch_model_head.bin']) rmSync(place.path('headless', file));
  rmSync(place.path('weightless/pytorch_adapter.bin'));
  place.write('cut/pytorch_adapter.bin', readFileSync(place.path('cut/pytorch_adapter.bin')).subarray(0, 700));
  change('wide/adapter_config.json', { hidden_size: 768 });
  change('other-method/adapter_config.json', { config: { architecture: 'telepathy' } });
  const head = JSON.parse(place.read('odd-labels/head_config.json'));
  change('odd-labels/head_config.json', { config: { ...head.config, label2id: { 0: 1 } } });

  change('odd-length/head_config.json', { max_length: '40' });
  change('odd-pairs/head_config.json', { text_pairs: 1 });

  for (const name of ['shallow', 'deep', 'gpt', 'speechless']) copy('bert', name);
  change('shallow/config.json', { num_hidden_layers: 2 });
  change('deep/config.json', { num_hidden_layers: 4 });
  change('gpt/config.json', { model_type: 'gpt2' });
  rmSync(place.path('speechless/tokenizer.json'));

  const lines = (...rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  place.write('empty.jsonl', '');
  place.write('rows.jsonl', lines({ text: 'a' }, { txt: 'b' }));
  place.write('broken.jsonl', '{"text":"a"\n');
  place.write('number.jsonl', '7\n');
  place.write('rows.txt', 'a');
  place.write('ids.jsonl', lines({ inputIds: [2, 500, 3] }));
  place.write('long.jsonl', lines({ inputIds: Array(50).fill(2) }));
  place.write('two.jsonl', lines({ text: 'a', choices: ['a', 'b'] }));
  place.write('addressed.jsonl', lines({ text: 'a', adapter: 'other' }));
  place.write('slip.jsonl', lines({ text: 'a', label: 'god' }));
  place.write('xy.jsonl', lines({ text: 'a', label: 'x' }, { text: 'a', label: 'y' }));
  place.write('bad-card/card.json', { name: 'bad', kind: 'clasification' });
  place.write('bad-card/train.jsonl', lines({ text: 'a', label: 'x' }));
  place.write('empty.bin', '');
  place.write('columns.csv', 'review,stars\na,1\n');
  place.write('semicolons.csv', 'text;label\na;b\n');
  place.write('open.csv', 'text,label\n"a,b\n');
  place.write('latin.csv', Uint8Array.of(0xe9, 0x2c, 0x0a));
  place.write('cut-short/state/state.json', '{}');
  place.write('notes/notes.md', 'nothing');
  place.write('begun-elsewhere/log.jsonl', '');
  place.write('begun-elsewhere/notes.md', 'nothing');
  place.write('cardless/train.jsonl', lines({ text: 'a', label: 'x' }, { text: 'a', label: 'y' }));
});

afterAll(() => place.remove());

const predict = 'predict --model @bert --adapter @out/mood';
const evaluate = 'evaluate --model @bert --adapter @out/mood';
const train = 'train --model @bert --task @tasks/mood';
const pretrain = 'pretrain --data @rows.txt --unseen @cardless';

/** Command line, exit code, and the whole message after `multigraft: `; `…` stands for anything. */
const cases: readonly (readonly [line: string, code: 1 | 2, message: string])[] = [
  // usage
  ['prdict', 2, 'prdict: found an unknown command; expected one of …. Did you mean multigraft predict?'],
  [`${predict} --scors a`, 2, 'multigraft predict --scors: found an unknown flag. Did you mean --scores?'],
  [
    `${predict}`,
    2,
    'multigraft predict: found nothing to answer; expected --input FILE, --input - or texts. See multigraft predict --help.',
  ],
  [`${predict} --input @rows.jsonl a`, 2, 'multigraft predict: found both --input and texts; expected one of them.'],
  [`${predict} --max-length x a`, 2, '--max-length: found "x"; expected an integer >= 3.'],
  [`${predict} --max-length 2 a`, 2, '--max-length: found 2; expected an integer >= 3.'],
  [`${predict} --max-length 41 a`, 2, '--max-length: found 41; expected at most 40: bert has no more positions.'],
  [
    `${predict} --adapter @out/words a`,
    1,
    "text:1, column \"adapter\": found nothing; expected 'mood', 'words' or '__base__'. With several --adapter each row says which one answers it, unless --setup says what they are put together to.",
  ],
  [`${evaluate}`, 2, '--task: found nothing; expected a path. Give --task <path>.'],
  [`${evaluate} --task @tasks/mood --split dev`, 2, '--split: found "dev"; expected one of train, validation, test.'],
  ['inspect', 2, 'multigraft inspect: found no <path>; expected one. See multigraft inspect --help.'],
  ['inspect @out x', 2, 'multigraft inspect: found one more argument, "x"; expected 1 argument. See multigraft inspect --help.'],
  ['encoders x', 2, 'multigraft encoders: found one more argument, "x"; expected flags only. See multigraft encoders --help.'],
  ['methods lorra', 2, "argument name: found 'lorra'; expected one of …. Did you mean lora?"],
  ['demo --epochs 0', 2, '--epochs: found 0; expected a number > 0.'],
  // rows
  [`${predict} --input @none.jsonl`, 1, '@none.jsonl: found nothing; expected a file or folder. Check the path.'],
  [`${predict} --input @empty.jsonl`, 1, '@empty.jsonl: found no rows; expected at least one.'],
  [
    `${predict} --input @tasks`,
    1,
    '@tasks: found a folder; expected a file of rows. For the score on a task folder use multigraft evaluate.',
  ],
  [`${predict} --input @rows.txt`, 1, '@rows.txt: found the extension .txt; expected .jsonl, .csv, .tsv or .parquet.'],
  [`${predict} --input @broken.jsonl`, 1, '@broken.jsonl:1:12: found the end of the text; expected "," or "}".'],
  [`${predict} --input @number.jsonl`, 1, '@number.jsonl:1: found number; expected an object {"column": value}.'],
  [
    `${predict} --input @rows.jsonl`,
    1,
    '@rows.jsonl:2, column "text": found no such column (there are "txt"); expected "text": the head \'mood\' answers rows of classification. Did you mean "txt"?',
  ],
  [
    `${predict} --input @ids.jsonl`,
    1,
    '@ids.jsonl:1, column "inputIds": found the id 500; expected 0 to 119, the vocabulary of the encoder.',
  ],
  [`${predict} --input @long.jsonl`, 1, '@long.jsonl:1, column "inputIds": found 50 ids; expected at most 40. Shorten the row, …'],
  [
    `${predict} --input @addressed.jsonl`,
    1,
    "@addressed.jsonl:1, column \"adapter\": found 'other'; expected 'mood', the active one. Give adapterNames, or --adapter for each of them: then rows are answered by the adapters that they name.",
  ],
  [
    'predict --model @bert --adapter @out/spans a',
    1,
    'text:1, column "context": found …; expected "context" and "question": the head \'spans\' answers rows of span. …',
  ],
  [
    'predict --model @bert --adapter @out/choose --input @two.jsonl',
    1,
    '@two.jsonl:1, column "choices": found 2 choices; expected 3, as the head \'choose\' was trained with.',
  ],
  // outputs
  [`${predict} --output @tasks a`, 1, '--output: found @tasks, a folder; expected a file. Give --output @tasks/answers.jsonl.'],
  [
    `${predict} --output @rows.txt/x.jsonl a`,
    1,
    '@rows.txt/x.jsonl: found a file on the way; expected folders only. Choose a path that does not lead through a file.',
  ],
  [`${train} --output @rows.txt/x`, 1, '@rows.txt/x/…: found a file on the way; expected folders only. …'],
  [`${train} --log @tasks`, 1, '@tasks: found a folder; expected a file. Give the path of a file.'],
  // encoders
  [
    'predict --model @none a',
    1,
    '@none/config.json: found no such folder; expected a Hugging Face model folder (config.json, weights, tokenizer.json). Check --model.',
  ],
  ['predict --model @bert/config.json a', 1, '…: found a file where a folder is needed; expected a Hugging Face model folder …'],
  ['summary --model @tasks', 1, '@tasks/config.json: found a folder without config.json; expected …'],
  [
    'predict --model @gpt a',
    1,
    "@gpt/config.json: field 'model_type': found 'gpt2'; expected one of bert, roberta, xlm-roberta, distilbert, electra, albert, modernbert, mpnet, deberta-v2.",
  ],
  [
    'predict --model @deep a',
    1,
    '@deep/model.safetensors: found no bert.encoder.layer.3.attention.self.query.weight, … and 8 more; expected the 71 tensors of a bert encoder with 4 layers. …',
  ],
  ['predict --model @speechless a', 1, '@speechless: found no tokenizer.json and no vocab.txt; expected a tokenizer …'],
  // adapters and heads
  [
    'predict --model @bert a',
    2,
    '--adapter: found none, and an encoder without a prediction head; expected the folder of a trained adapter. Train one with …',
  ],
  [
    'predict --model @bert --adapter @none a',
    1,
    '@none: found nothing; expected an adapter folder with adapter_config.json. Check the path; …',
  ],
  ['predict --model @bert --adapter @rows.txt a', 1, '@rows.txt: found a file; expected an adapter folder with adapter_config.json. …'],
  [
    'predict --model @bert --adapter @notes a',
    1,
    '@notes: found a folder with notes.md; expected an adapter folder with adapter_config.json. …',
  ],
  ['predict --model @bert --adapter @headless a', 1, "the adapter 'mood': found no prediction head; expected a head: …"],
  [
    'predict --model @bert --adapter @weightless a',
    1,
    '@weightless: found no weights; expected adapter.safetensors or pytorch_adapter.bin. …',
  ],
  [
    'predict --model @bert --adapter @cut a',
    1,
    '@cut/pytorch_adapter.bin: found no zip directory at the end; expected a complete zip file. …',
  ],
  ['predict --model @bert --adapter @other-method a', 1, '@other-method/adapter_config.json: found architecture "telepathy"; expected …'],
  [
    'predict --model @bert --adapter @odd-length a',
    1,
    '@odd-length/head_config.json: field \'max_length\': found "40"; expected a whole number of tokens, at least 3. Correct it, …',
  ],
  [
    'predict --model @bert --adapter @odd-pairs a',
    1,
    "@odd-pairs/head_config.json: field 'text_pairs': found 1; expected true or false. Correct it, …",
  ],
  [
    'predict --model @bert --adapter @odd-labels a',
    1,
    "head 'mood': key 'label2id': found 1 names; expected one name for each of the 2 outputs. …",
  ],
  [`${predict} --head god a`, 1, "head 'god': found none of that name; expected one of mood."],
  [
    'predict --model @bert --adapter @out/distil a',
    1,
    "@out/distil/adapter_config.json: field 'model_type': found 'distilbert'; expected 'bert', the type of bert. It was made for 'distilbert': load that encoder, or train an adapter for this one.",
  ],
  [
    'predict --model @bert --adapter @wide a',
    1,
    "@wide/adapter_config.json: field 'hidden_size': found 768; expected 32, the hidden size of bert. …",
  ],
  [
    'predict --model @shallow --adapter @out/mood a',
    1,
    "@out/mood/pytorch_adapter.bin: found the adapter 'mood' for an encoder of 3 layers; expected 2 layers. …",
  ],
  [`${train} --init @out/distil`, 1, "@out/distil/adapter_config.json: field 'model_type': found 'distilbert'; …"],
  // tasks
  [`${evaluate} --task @none`, 1, '@none: found nothing; expected a task folder or a table. Check the path.'],
  [`${evaluate} --task @tasks/words`, 1, "task words: found the kind tagging; expected classification, which the head 'mood' answers. …"],
  [`${evaluate} --task @xy.jsonl`, 1, "task xy: found the labels x, y; expected labels of the head 'mood': good, bad. …"],
  [
    `${evaluate} --task @slip.jsonl --labels good,bad`,
    1,
    '@slip.jsonl:1, column "label": found "god"; expected one of the 2 labels of slip: good, bad. Did you mean "good"?',
  ],
  [
    `${evaluate} --task @bad-card`,
    1,
    '@bad-card/card.json, field "kind": found "clasification"; expected one of …. Did you mean "classification"?',
  ],
  // methods and runs
  ['summary --model @bert --method ca_mtl_bas', 2, "--method: found 'ca_mtl_bas'; expected …. Did you mean 'ca_mtl_base'?"],
  ['summary --model @bert --method lora --tasks 3', 2, '--tasks: found it without a method of CA-MTL; expected …'],
  [
    'summary --model @bert --method ca_mtl_base[freez=3]',
    2,
    "ca_mtl_base: key 'freez': found no such key; expected …. Did you mean 'freeze'?",
  ],
  ['summary --model @bert --method seq_bm', 2, "method: found 'seq_bm'; expected one of …. Did you mean 'seq_bn'?"],
  [
    'summary --model @bert --method seq_bn[reductionfactor=3]',
    2,
    "method seq_bn: key 'reductionfactor': found no such key; expected …. Did you mean 'reduction_factor'?",
  ],
  [`${train} --method lora[r=0]`, 2, "method lora: key 'r': found 0; expected number to be >0."],
  [
    `${train} --resume --overwrite --output @nothing`,
    2,
    '--resume: found it together with --overwrite; expected one of them. --resume goes on with the unfinished run in --output, …',
  ],
  [`${train} --resume --output @nothing`, 1, '@nothing: found no unfinished run; expected state/state.json. …'],
  [
    `${train} --output @bert`,
    2,
    '--output: found @bert, the folder of --model; expected a new or empty folder. Give a new folder with --output.',
  ],
  [`${train} --output @distilbert`, 2, '--output: found @distilbert, the folder of an encoder; expected …'],
  [`${train} --output @distilbert --overwrite`, 2, '--output: found @distilbert, the folder of an encoder; expected …'],
  [`${train} --output @tasks/mood --overwrite`, 2, '--output: found @tasks/mood, a task folder; expected …'],
  [`${train} --output @notes --overwrite`, 2, '--output: found @notes, a folder with notes.md; expected …'],
  [`${train} --output @rows.txt`, 2, '--output: found @rows.txt, a file; expected …'],
  [
    `${train} --output @out/mood`,
    2,
    '--output: found @out/mood, the result of an earlier run; expected a new or empty folder. Give another folder, or --overwrite to replace it.',
  ],
  [
    `${train} --output @cut-short`,
    2,
    '--output: found @cut-short, an unfinished run; expected a new or empty folder. Give --resume to go on, or --overwrite to start anew.',
  ],
  [`${pretrain} --output @none --resume --overwrite`, 2, '--resume: found it together with --overwrite; expected one of them. …'],
  [`${pretrain} --output @bert`, 2, '--output: found @bert, the folder of an encoder; expected a new or empty folder. …'],
  [`${pretrain} --output @bert --overwrite`, 2, '--output: found @bert, the folder of an encoder; expected …'],
  [`${pretrain} --output @bert --teacher @bert --overwrite`, 2, '--output: found @bert, the folder of --teacher; expected …'],
  [`${pretrain} --output @tasks/words --overwrite`, 2, '--output: found @tasks/words, a task folder; expected …'],
  [`${pretrain} --output @cardless --overwrite`, 2, '--output: found @cardless, a folder of --unseen; expected …'],
  [`${pretrain} --output @out/mood --overwrite`, 2, '--output: found @out/mood, a folder with README.md, …; expected …'],
  [`${pretrain} --output @begun-elsewhere`, 2, '--output: found @begun-elsewhere, a folder with notes.md; expected …'],
  [`${pretrain} --output @rows.txt`, 2, '--output: found @rows.txt, a file; expected …'],
  [
    `${train} --threads 9999`,
    2,
    '--threads: found 9999; expected a whole number from 1 to …: four for each of the … cores, and 256 at most. …',
  ],
  [
    `${train} --metric pearson`,
    2,
    'The metric asked for: found "pearson", which does not fit this kind of task; expected one of accuracy, …',
  ],
  [
    'train --model @bert --task @columns.csv',
    1,
    '@columns.csv, column "text": found only review, stars; expected a column for the text. Say which column holds what with --text COLUMN --label COLUMN …',
  ],
  [
    'train --model @bert --task @semicolons.csv',
    1,
    '@semicolons.csv, column "text": found only text;label; expected …. The header is separated by semicolons: …',
  ],
  ['train --model @bert --task @open.csv', 1, '@open.csv:2: found a quote that is never closed; expected fields quoted as in RFC 4180. …'],
  ['train --model @bert --task @latin.csv', 1, '@latin.csv: found bytes that are not UTF-8; expected UTF-8 text. Save the file as UTF-8.'],
  // inspect
  ['inspect @none', 1, '@none: found nothing; expected a file or a folder. Check the path.'],
  [
    'inspect @notes',
    1,
    '@notes: found a folder with notes.md; expected an adapter, a fusion, a head, an encoder, a task, an unfinished run or weights. …',
  ],
  ['inspect @empty.bin', 1, '@empty.bin: found an empty file; expected weights or rows. Copy or download it again.'],
  ['inspect @rows.txt', 1, '@rows.txt: found a kind of file that is not known; expected …'],
  ['inspect @cut', 1, '@cut/pytorch_adapter.bin: found no zip directory at the end; …'],
];

describe('one clear message', () => {
  it.each(cases)('%s', async (line, expected, message) => {
    const { code, out, err } = await place.run(line.split(' '));
    const [said = ''] = err.split('\n').filter((text) => text.startsWith('multigraft: '));
    const pattern = message
      .split('…')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*');
    expect(said).toMatch(new RegExp(`^multigraft: ${pattern}$`));
    expect([code, out]).toEqual([expected, '']);
    expect(err).not.toMatch(/\n\s+at |internal error/);
  });

  it('is asked for in as many ways as are listed', () => {
    expect(cases.length).toBeGreaterThanOrEqual(60);
    expect(new Set(cases.map(([line]) => line)).size).toBe(cases.length);
  });
});

describe('an error', () => {
  it('is one JSON object with --json, with the code', async () => {
    const { code, out, err } = await place.run(['predict', '--model', '@bert', '--adapter', '@headless', 'a', '--json']);
    expect([code, out]).toEqual([1, '']);
    expect(JSON.parse(err)).toEqual({ error: { code: 'adapter.missing', message: expect.stringContaining('no prediction head') } });
  });

  it('shows its stack with --debug only', async () => {
    const { err } = await place.run(['inspect', '@none', '--debug']);
    expect(err).toMatch(/\n\s+at /);
  });
});

it('leaves an older output as it was when a command fails', async () => {
  place.write('kept.jsonl', 'old\n');
  await place.run(['predict', '--model', '@bert', '--adapter', '@headless', '--output', '@kept.jsonl', 'a']);
  expect(place.read('kept.jsonl')).toBe('old\n');
});
