import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { BUDGETS, checkFences, describe as word } from '../../tools/fences.mjs';
import { foldersOnDisk, readSources } from '../../tools/source.mjs';

const root = join(import.meta.dirname, '..', '..');

describe('the fences of src/', () => {
  const report = checkFences(root);

  it('hold', () => {
    expect(report.violations.map(word)).toEqual([]);
  });

  it('were checked on every source file', () => {
    const sources = readSources(root).filter((file) => !file.test);
    expect(report.files).toBe(sources.length);
    expect(report.files).toBeGreaterThanOrEqual(40);
    expect(report.imports).toBeGreaterThan(report.files);
    expect(new Set(sources.map((file) => file.folder).filter(Boolean))).toEqual(new Set(foldersOnDisk(root)));
  });

  it('know the names of methods and families', () => {
    expect(report.names).toEqual(
      expect.arrayContaining(['seq_bn', 'lora', 'bert', 'roberta', 'xlm-roberta', 'distilbert', 'electra', 'albert', 'modernbert']),
    );
  });
});

describe('the checker', () => {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
  });

  const row = (name: string, mark = '') => `| \`${name}/\` | ${mark}words | |`;

  /** Violations, as `rule file:line`, of a tree with these files; the list of folders is in the order given here unless `readme` replaces it. */
  function violations(files: Record<string, string>, readme?: string): string[] {
    const folder = mkdtempSync(join(tmpdir(), 'fences-'));
    made.push(folder);
    const names = [...new Set(Object.keys(files).flatMap((path) => (path.includes('/') ? [path.split('/')[0] as string] : [])))];
    const all = {
      'package.json': JSON.stringify({ dependencies: { zod: '*', 'onnxruntime-node': '*' } }),
      'src/README.md': readme ?? names.map((name) => row(name)).join('\n'),
      ...Object.fromEntries(Object.entries(files).map(([path, text]) => [`src/${path}`, text])),
    };
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return checkFences(folder)
      .violations.map(({ rule, file, line }) => `${rule} ${file}:${line}`)
      .sort();
  }

  it('passes a tree that keeps every rule', () => {
    const files = {
      'base/a.ts': `export const a = 1;\n`,
      'graph/b.ts': `import { z } from 'zod';\nimport { a } from '../base/a.ts';\nexport const b = () => z.number().parse(a);\n`,
      'cli/c.ts': `import { readFile } from 'node:fs/promises';\nimport { b } from '../graph/b.ts';\nconsole.log(readFile, b());\n`,
      'index.ts': `export { b } from './graph/b.ts';\n`,
    };
    expect(violations(files)).toEqual([]);
  });

  it('reports every violation, not only the first', () => {
    const upward = `import '../tasks/t.ts';\nimport type { T } from '../tasks/t.ts';\nexport type U = T;\nconsole.log(process.pid);\n`;
    expect(violations({ 'base/a.ts': upward, 'tasks/t.ts': 'export interface T {}\n' })).toEqual([
      'engine src/base/a.ts:1',
      'engine src/base/a.ts:2',
      'order src/base/a.ts:1',
      'order src/base/a.ts:2',
      'platform src/base/a.ts:4',
      'platform src/base/a.ts:4',
    ]);
  });

  it.each([
    ['a plain import', `import { t } from '../text/t.ts';\nt();\n`],
    ['a type import', `import type { T } from '../text/t.ts';\nexport type U = T;\n`],
    ['an export', `export { t } from '../text/t.ts';\n`],
    ['a lazy import', `export const later = () => import('../text/t.ts');\n`],
    ['a type in place', `export type U = import('../text/t.ts').T;\n`],
  ])('order: %s of a folder below', (_, text) => {
    expect(violations({ 'tasks/a.ts': text, 'text/t.ts': 'export {};\n' })).toEqual(['order src/tasks/a.ts:1']);
  });

  it('order: the index above, a path out of src, the package by its own name', () => {
    const text = `import '../index.ts';\nimport '../../tools/x.ts';\nimport 'multigraft/graph';\n`;
    expect(violations({ 'tasks/a.ts': text })).toEqual(['order src/tasks/a.ts:1', 'order src/tasks/a.ts:2', 'order src/tasks/a.ts:3']);
  });

  it('cycle: files of one folder that import each other in a ring', () => {
    const files = {
      'tasks/a.ts': `import './b.ts';\n`,
      'tasks/b.ts': `export {};\nimport './deep/c.ts';\n`,
      'tasks/deep/c.ts': `import '../a.ts';\n`,
      'tasks/d.ts': `import './a.ts';\n`,
    };
    expect(violations(files)).toEqual(['cycle src/tasks/a.ts:1']);
  });

  it('room: a sub-folder of train/ that its common ground or another sub-folder imports', () => {
    const files = {
      'train/fusion/a.ts': `import '../step.ts';\nimport './deep/b.ts';\nimport '../pretrain/c.ts';\n`,
      'train/fusion/deep/b.ts': `import '../../step.ts';\nimport '../../pretrain/c.ts';\n`,
      'train/index.ts': `import './fusion/a.ts';\n`,
      'train/pretrain/c.ts': 'export {};\n',
      'train/plan.ts': `\nimport './pretrain/c.ts';\n`,
      'train/step.ts': 'export {};\n',
    };
    expect(violations(files)).toEqual(['room src/train/fusion/a.ts:3', 'room src/train/fusion/deep/b.ts:2', 'room src/train/plan.ts:2']);
  });

  it('engine: a stage of the engine that knows a stage outside it, though that lies above', () => {
    expect(violations({ 'methods/m.ts': 'export {};\n', 'session/s.ts': `\nimport '../methods/m.ts';\n` })).toEqual([
      'engine src/session/s.ts:2',
    ]);
  });

  it.each([
    ['a module of Node', `import 'node:fs';\n`],
    ['a module of Node without its prefix', `import 'path';\n`],
    ['the runtime', `import 'onnxruntime-node';\n`],
    ['console', `console.log(1);\n`],
    ['process', `export const home = process.env.HOME;\n`],
    ['fetch', `export const get = fetch;\n`],
    ['fetch by another way', `export const get = globalThis.fetch;\n`],
    ['Buffer', `export const none = Buffer.alloc(0);\n`],
  ])('platform: %s', (_, text) => {
    expect(violations({ 'text/a.ts': text })).toEqual(['platform src/text/a.ts:1']);
  });

  it('platform: allows the files made for it, and names that only look alike', () => {
    const native = `import 'node:fs';\nimport 'onnxruntime-node';\nconsole.log(process.pid);\n`;
    const alike = `export const f = (process: { fetch(): void }) => process.fetch();\nexport interface P { console: 1 }\n`;
    expect(
      violations({ 'base/files-node.ts': native, 'session/node.ts': native, 'session/run-node.ts': native, 'cli/a.ts': native }),
    ).toEqual([]);
    expect(violations({ 'text/a.ts': alike })).toEqual([]);
    expect(violations({ 'text/node.ts': `import 'node:fs';\n` })).toEqual(['platform src/text/node.ts:1']);
  });

  it('literal: the name of a method or family outside its own file', () => {
    const files = {
      'encoders/bert.ts': `export const BERT: Family = { name: 'bert' };\n`,
      'encoders/shared.ts': `export const site = () => ({ name: 'query' });\n`,
      'methods/lora.ts': `export const lora = define({ name: 'lora', aliases: ['lora_x'], presets: { lora_y: {} } } as const);\nexport const again = 'lora';\n`,
      'methods/index.ts': `export const all = ['lora'];\n`,
      'methods/other.ts': `export const test = (name: string) => name === 'lora';\n`,
      'train/plan.ts': `export const table = {\n  bert: 1,\n  lora_x: 2,\n  'lora_y': 3,\n  query: 4,\n};\n`,
      'train/init.ts': `export const config = { init_weights: 'bert' };\n`,
      'train/plan.test.ts': `export const a = 'lora';\n`,
    };
    expect(violations(files)).toEqual([
      'literal src/methods/other.ts:1',
      'literal src/train/plan.ts:2',
      'literal src/train/plan.ts:3',
      'literal src/train/plan.ts:4',
    ]);
  });

  it('state: a variable of a module', () => {
    expect(violations({ 'text/a.ts': `export const a = 1;\nlet b = 1;\nexport const next = () => b++;\n` })).toEqual([
      'state src/text/a.ts:2',
    ]);
  });

  it('dependency: a package that an installed copy would not have', () => {
    expect(violations({ 'text/a.ts': `import 'zod/v4';\nimport 'vitest';\nimport '@scope/name/part';\n` })).toEqual([
      'dependency src/text/a.ts:2',
      'dependency src/text/a.ts:3',
    ]);
  });

  it('size: files and totals over budget, tests not counted', () => {
    const lines = (count: number) => 'export {};\n'.repeat(count);
    expect(
      violations({ 'text/a.ts': lines(BUDGETS.file), 'text/a.test.ts': lines(BUDGETS.file + 1), 'methods/m.ts': lines(BUDGETS.method) }),
    ).toEqual([]);
    expect(violations({ 'text/a.ts': lines(BUDGETS.file + 1), 'methods/m.ts': lines(BUDGETS.method + 1) })).toEqual([
      `size src/methods/m.ts:${BUDGETS.method + 1}`,
      `size src/text/a.ts:${BUDGETS.file + 1}`,
    ]);
    const many = (folder: string, total: number) =>
      Object.fromEntries(Array.from({ length: total / 400 }, (_, i) => [`${folder}/f${i}.ts`, lines(400)]));
    expect(violations({ ...many('graph', BUDGETS.engine), ...many('text', BUDGETS.src - BUDGETS.engine) })).toEqual([]);
    expect(violations(many('graph', BUDGETS.engine + 400))).toEqual(['size tools/fences.mjs:1']);
    expect(violations(many('text', BUDGETS.src + 400))).toEqual(['size tools/fences.mjs:1']);
  });

  it('layout: a folder that is not listed, listed twice, listed and absent, or marked (later) and present', () => {
    const files = { 'base/a.ts': 'export {};\n', 'text/b.ts': 'export {};\n' };
    expect(violations(files, [row('base'), row('text'), row('serve', '(later) ')].join('\n'))).toEqual([]);
    expect(violations(files, row('base'))).toEqual(['layout src/README.md:1']);
    expect(violations(files, [row('base'), row('text'), row('base')].join('\n'))).toEqual(['layout src/README.md:3']);
    expect(violations(files, [row('base'), row('text'), row('hub')].join('\n'))).toEqual(['layout src/README.md:3']);
    expect(violations(files, [row('base'), row('text', '(later) ')].join('\n'))).toEqual(['layout src/README.md:2']);
  });
});
