import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Budgets } from '../../tools/fences/budgets.mjs';
import { BUDGETS, checkFences, describe as word } from '../../tools/fences.mjs';
import { foldersOnDisk, readSources, roomOf } from '../../tools/source.mjs';

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
});

describe('the checker', () => {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
  });

  const row = (name: string, mark = '') => `| \`${name}/\` | ${mark}words | |`;

  /**
   * Violations, as `rule file:line`, of a tree with these files; the list of folders is in the order given here unless `readme` replaces
   * it, and no room is too large unless `budgets` say so.
   */
  function violations(files: Record<string, string>, { readme, budgets }: { readme?: string; budgets?: Budgets } = {}): string[] {
    const folder = mkdtempSync(join(tmpdir(), 'fences-'));
    made.push(folder);
    const names = [...new Set(Object.keys(files).flatMap((path) => (path.includes('/') ? [path.split('/')[0] as string] : [])))];
    const all = {
      'package.json': JSON.stringify({
        dependencies: { zod: '*', 'onnxruntime-node': '*' },
        imports: { '#platform': { source: './src/session/node.ts', default: './dist/session/node.js' }, '#lost': './dist/lost.js' },
      }),
      'src/README.md': readme ?? names.map((name) => row(name)).join('\n'),
      ...Object.fromEntries(Object.entries(files).map(([path, text]) => [`src/${path}`, text])),
    };
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const rooms = Object.fromEntries(Object.keys(files).flatMap((path) => (roomOf(path) === '' ? [] : [[roomOf(path), 1000]])));
    return checkFences(folder, budgets ?? { ...BUDGETS, rooms })
      .violations.map(({ rule, file, line }) => `${rule} ${file}:${line}`)
      .sort();
  }

  it('passes a tree that keeps every rule', () => {
    const files = {
      'base/a.ts': `export const a = 1;\n`,
      'graph/index.ts': `import { z } from 'zod';\nimport { a } from '../base/a.ts';\nexport const b = () => z.number().parse(a);\n`,
      'cli/c.ts': `import { readFile } from 'node:fs/promises';\nimport { b } from '../graph/index.ts';\nconsole.log(readFile, b());\n`,
      'index.ts': `export { b } from './graph/index.ts';\n`,
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
    ['a plain import', `import { t } from '../text/index.ts';\nt();\n`],
    ['a type import', `import type { T } from '../text/index.ts';\nexport type U = T;\n`],
    ['an export', `export { t } from '../text/index.ts';\n`],
    ['a lazy import', `export const later = () => import('../text/index.ts');\n`],
    ['a type in place', `export type U = import('../text/index.ts').T;\n`],
  ])('order: %s of a folder below', (_, text) => {
    expect(violations({ 'tasks/a.ts': text, 'text/index.ts': 'export {};\n' })).toEqual(['order src/tasks/a.ts:1']);
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
    const files = { 'methods/index.ts': 'export {};\n', 'formats/onnx.ts': 'export {};\n', 'formats/torch.ts': 'export {};\n' };
    const text = `import '../formats/onnx.ts';\nimport '../methods/index.ts';\nimport '../formats/torch.ts';\n`;
    expect(violations({ ...files, 'session/s.ts': text })).toEqual(['engine src/session/s.ts:2', 'engine src/session/s.ts:3']);
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
    ['a timer', `export const later = (f: () => void) => setTimeout(f, 0);\n`],
    ["a timer of Node's alone", `export const later = setImmediate;\n`],
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

  it('platform: files of one platform are reached by a name of package.json, which is known to the other fences', () => {
    const node = { 'session/node.ts': 'export {};\n', 'session/index.ts': `export * from '#platform';\n` };
    expect(violations(node)).toEqual([]);
    expect(violations({ ...node, 'train/a.ts': `import '../session/node.ts';\n` })).toEqual(['platform src/train/a.ts:1']);
    expect(violations({ 'train/a.ts': `import '#platform';\n`, ...node })).toEqual(['order src/train/a.ts:1']);
    expect(violations({ 'session/node.ts': `import './index.ts';\n`, 'session/index.ts': `export * from '#platform';\n` })).toHaveLength(1);
    expect(violations({ 'text/a.ts': `import '#lost';\nimport '#absent';\n` })).toEqual([
      'dependency src/text/a.ts:1',
      'dependency src/text/a.ts:2',
    ]);
  });

  it('door: a file within a folder that is entered by its index', () => {
    const files = {
      'methods/base.ts': 'export {};\n',
      'methods/lora.ts': `import './base.ts';\n`,
      'methods/blocks/stack.ts': `import '../base.ts';\n`,
      'methods/index.ts': `import './lora.ts';\nimport './blocks/stack.ts';\n`,
      'metrics/f1.ts': 'export {};\n',
      'cli/plan.ts': `import '../methods/index.ts';\nimport '../methods/lora.ts';\nexport type T = import('../methods/blocks/stack.ts').T;\n`,
      'index.ts': `import './methods/base.ts';\nimport './methods/index.ts';\n`,
      'cli/plan.test.ts': `import '../methods/lora.ts';\n`,
    };
    expect(violations(files)).toEqual(['door src/cli/plan.ts:2', 'door src/cli/plan.ts:3', 'door src/index.ts:1']);
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

  it('size: files, rooms and the engine over budget, tests not counted', () => {
    const lines = (count: number) => 'export {};\n'.repeat(count);
    const budgets = {
      file: 20,
      method: 10,
      engine: 50,
      rooms: { text: 30, methods: 30, graph: 40, formats: 40, train: 10, 'train/fusion': 20 },
    };
    const full = {
      'text/a.ts': lines(20),
      'text/b.ts': lines(10),
      'text/a.test.ts': lines(21),
      'methods/m.ts': lines(10),
      'graph/a.ts': lines(20),
      'graph/ops/b.ts': lines(20),
      'formats/onnx.ts': lines(10),
      'formats/torch.ts': lines(20),
      'train/a.ts': lines(10),
      'train/fusion/b.ts': lines(20),
      'index.ts': lines(20),
    };
    expect(violations(full, { budgets })).toEqual([]);
    const table = 'size tools/fences/budgets.mjs:1';
    const oneMore = (path: keyof typeof full, count = 1) => violations({ ...full, [path]: full[path] + lines(count) }, { budgets });
    expect(oneMore('text/a.ts')).toEqual(['size src/text/a.ts:21', table]);
    expect(oneMore('methods/m.ts')).toEqual(['size src/methods/m.ts:11']);
    expect(oneMore('index.ts')).toEqual(['size src/index.ts:21']);
    expect(oneMore('text/b.ts')).toEqual([table]);
    expect(oneMore('train/a.ts')).toEqual([table]);
    expect(oneMore('formats/onnx.ts')).toEqual([table]);
    expect(violations({ ...full, 'train/pretrain/c.ts': lines(1) }, { budgets })).toEqual([table]);
    expect(violations({ 'graph/a.ts': lines(1) }, { budgets: { ...budgets, rooms: { graph: 40, hub: 10 } } })).toEqual([table]);
  });

  it('layout: a folder that is not listed, listed twice, listed and absent, or marked (later) and present', () => {
    const files = { 'base/a.ts': 'export {};\n', 'text/b.ts': 'export {};\n' };
    expect(violations(files, { readme: [row('base'), row('text'), row('serve', '(later) ')].join('\n') })).toEqual([]);
    expect(violations(files, { readme: row('base') })).toEqual(['layout src/README.md:1']);
    expect(violations(files, { readme: [row('base'), row('text'), row('base')].join('\n') })).toEqual(['layout src/README.md:3']);
    expect(violations(files, { readme: [row('base'), row('text'), row('hub')].join('\n') })).toEqual(['layout src/README.md:3']);
    expect(violations(files, { readme: [row('base'), row('text', '(later) ')].join('\n') })).toEqual(['layout src/README.md:2']);
  });
});
