import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
let work = '';

/** An installation on a platform that ONNX Runtime has no binary for: everything of it but the binary. */
beforeAll(() => {
  if (!existsSync(join(root, 'dist'))) throw new Error('dist/ is missing: run npm run build first');
  work = mkdtempSync(join(tmpdir(), 'native-'));
  const modules = join(work, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(join(root, 'node_modules')).filter((entry) => entry !== 'onnxruntime-node' && !entry.startsWith('.')))
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  for (const part of ['package.json', 'dist'])
    cpSync(join(root, 'node_modules', 'onnxruntime-node', part), join(modules, 'onnxruntime-node', part), { recursive: true });
  for (const part of ['package.json', 'dist']) cpSync(join(root, part), join(modules, 'multigraft', part), { recursive: true });
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

function run(code: string): string {
  return execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: work, encoding: 'utf8' });
}

it('the package loads without the native binary', () => {
  expect(Number(run(`console.log(Object.keys(await import('multigraft')).length)`))).toBeGreaterThan(0);
});

it('the engine says which binary is missing, for which platform, and where there is one', () => {
  const told = run(`
    const { nodeEngine } = await import('multigraft/session');
    await nodeEngine().then(() => console.log('started'), (error) => console.log(JSON.stringify([error.name, error.code, error.message])));
  `);
  const [name, code, message] = JSON.parse(told) as [string, string, string];
  expect({ name, code }).toEqual({ name: 'MultigraftError', code: 'session.missing' });
  expect(message).toContain(`ONNX Runtime for ${process.platform}-${process.arch}: found `);
  expect(message).toMatch(/onnxruntime_binding\.node.*expected the native library.*musl/);
});
