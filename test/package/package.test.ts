import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const readJson = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'));
const manifest = readJson('package.json') as {
  exports: Record<string, string | { types: string; default: string }>;
  bin: Record<string, string>;
  files: string[];
  engines: { node: string };
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
};
const subpaths = Object.entries(manifest.exports).flatMap(([name, target]) => (typeof target === 'string' ? [] : [{ name, ...target }]));

let work = '';
let packed: { size: number; filename: string; files: { path: string; size: number; mode: number }[] };

/** The package as a user has it: unpacked in the node_modules of an empty folder, beside its dependencies. */
beforeAll(() => {
  if (!existsSync(join(root, 'dist'))) throw new Error('dist/ is missing: run npm run build first');
  work = mkdtempSync(join(tmpdir(), 'package-'));
  const listing = execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', work], { cwd: root, encoding: 'utf8' });
  packed = [Object.values(JSON.parse(listing))].flat(2)[0] as typeof packed;
  execFileSync('tar', ['xzf', join(work, packed.filename), '-C', work]);
  mkdirSync(join(work, 'user'));
  writeFileSync(join(work, 'user', 'package.json'), JSON.stringify({ type: 'module' }));
  mkdirSync(join(work, 'user', 'node_modules'));
  symlinkSync(join(work, 'package'), join(work, 'user', 'node_modules', 'multigraft'));
  symlinkSync(join(root, 'node_modules'), join(work, 'package', 'node_modules'));
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

function node(...args: string[]): string {
  return execFileSync(process.execPath, args, { cwd: join(work, 'user'), encoding: 'utf8' });
}

describe('the packed package', () => {
  it('holds what the allow-list names and nothing else', () => {
    const allowed =
      /^(dist\/[\w/.-]+\.(js|d\.ts)|assets\/[\w/.-]+|docs\/((experiments|methods)\/)?[\w+-]+\.(md|svg|png)|src\/README\.md|README\.md|CHANGELOG\.md|LICENSE|package\.json)$/;
    const paths = packed.files.map((file) => file.path);
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
    expect(paths).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'docs/README.md', 'src/README.md', 'CHANGELOG.md', 'package.json', 'dist/index.js']),
    );
    expect(paths.filter((path) => path.startsWith('dist/')).length).toBeGreaterThan(subpaths.length);
    expect(paths.filter((path) => /\.test\.|\.map$/.test(path))).toEqual([]);
  });

  it('is at most 12 MB', () => {
    expect(packed.size).toBeGreaterThan(10_000);
    expect(packed.size).toBeLessThanOrEqual(12 * 1024 * 1024);
  });

  it('mentions no path of the machine it was made on', () => {
    const texts = packed.files.filter((file) => /\.(js|ts|json|md)$/.test(file.path) && file.size < 1_000_000);
    const told = texts.filter((file) => readFileSync(join(work, 'package', file.path), 'utf8').includes(root));
    expect(texts.length).toBeGreaterThan(10);
    expect(told.map((file) => file.path)).toEqual([]);
  });

  it('has a file and types behind every export', () => {
    expect(subpaths.map(({ name }) => name)).toEqual(
      expect.arrayContaining(
        ['.', './checkpoint', './encoders', './graph', './inspect', './methods', './model', './nn', './objectives', './predict'].concat([
          './session',
          './testing',
          './train',
        ]),
      ),
    );
    for (const { types, default: code } of subpaths)
      for (const path of [types, code]) expect(packed.files.map((file) => file.path)).toContain(path.replace('./', ''));
  });

  it.each(subpaths.map(({ name }) => name.replace('.', 'multigraft')))('%s can be imported and exports something', (name) => {
    expect(Number(node('-e', `import('${name}').then((all) => console.log(Object.keys(all).length))`))).toBeGreaterThan(0);
  });

  it('has types that resolve for every export', () => {
    const program = subpaths.map(({ name }, i) => `import * as m${i} from '${name.replace('.', 'multigraft')}';\nexport { m${i} };\n`);
    writeFileSync(join(work, 'user', 'program.ts'), program.join(''));
    const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    const types = ['--typeRoots', join(root, 'node_modules', '@types')];
    expect(node(join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...flags, ...types, 'program.ts')).toBe('');
  });

  it('takes a method, a block, a kind of head and a family from outside', () => {
    for (const file of ['outside.mjs', 'use-outside.mjs']) cpSync(join(import.meta.dirname, file), join(work, 'user', file));
    symlinkSync(join(root, 'node_modules', 'zod'), join(work, 'user', 'node_modules', 'zod'));
    expect(node('use-outside.mjs')).toContain('from outside: trained, saved, loaded, answered');
  }, 60_000);

  it('has a command that starts', () => {
    const bin = join(work, 'package', manifest.bin.multigraft as string);
    expect(readFileSync(bin, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(statSync(bin).mode & 0o111).not.toBe(0);
    expect(node(bin, '--help')).toContain('Usage: multigraft');
    expect(node(bin, '--version').trim()).toBe(readJson('package.json').version);
  });
});

describe('the manifest', () => {
  it('runs nothing on installation', () => {
    const hooks = /^(pre|post)?(install|prepare|publish|pack|uninstall|shrinkwrap|dependencies)$|^prepublishOnly$|^(pre|post)(test|build)$/;
    expect(Object.keys(manifest.scripts).filter((name) => hooks.test(name))).toEqual([]);
    expect(readFileSync(join(root, '.npmrc'), 'utf8')).toMatch(/^ignore-scripts=true$/m);
  });

  it('states the Node versions it runs on, and no dependency asks for a newer one', () => {
    expect(manifest.engines.node).toBe('>=20.19');
    const lock = readJson('package-lock.json') as { packages: Record<string, { dev?: boolean; engines?: { node?: string } }> };
    const shipped = Object.entries(lock.packages).filter(([path, entry]) => path !== '' && !entry.dev);
    expect(shipped.length).toBeGreaterThanOrEqual(Object.keys(manifest.dependencies).length);
    const newer = shipped.filter(([, { engines }]) => /^>=? ?(2[1-9]|20\.(2\d|[3-9]\d))/.test(engines?.node ?? ''));
    expect(newer.map(([path]) => path)).toEqual([]);
  });

  it('has a lockfile without download addresses, for every dependency', () => {
    const text = readFileSync(join(root, 'package-lock.json'), 'utf8');
    expect(text).not.toMatch(/"resolved"|\.tgz"/);
    const { packages } = JSON.parse(text) as { packages: Record<string, { integrity?: string }> };
    for (const name of Object.keys(manifest.dependencies)) expect(packages[`node_modules/${name}`]?.integrity, name).toMatch(/^sha512-/);
  });
});
