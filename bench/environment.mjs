// @ts-check
/** What a measurement depends on beside the code: kept in every result. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

export function environment() {
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', 'HEAD'),
    changedFiles: git('status', '--porcelain', '--', 'src')?.split('\n').filter(Boolean).length ?? null,
    hardware: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGB: Math.round(totalmem() / 2 ** 30),
      system: `${platform()} ${release()} ${arch()}`,
    },
    loadBefore: load(),
  };
}

/** Of our side. */
export function versions() {
  const require = createRequire(import.meta.url);
  const versionOf = (/** @type {string} */ path) => JSON.parse(readFileSync(path, 'utf8')).version;
  return {
    multigraft: versionOf(require.resolve('../package.json')),
    node: process.versions.node,
    'onnxruntime-node': versionOf(require.resolve('onnxruntime-node/package.json')),
  };
}

/** Processes that want to run, averaged over the last minute. */
export function load() {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

/**
 * On a busy machine not even ratios hold: threads that wait by spinning, as OpenMP's do, lose far more than others.
 * @param {(text: string) => void} print
 */
export function warnWhenBusy(print) {
  const [busy, cores] = [load(), cpus().length];
  if (busy > 0.25 * cores)
    print(`note: the load average is ${busy} on ${cores} cores: repeat this on a quiet machine, the ratios do not hold either.`);
}

/**
 * Milliseconds that passed, or that this process computed.
 * @param {boolean} ofProcessor
 */
export function clock(ofProcessor) {
  if (!ofProcessor) return () => performance.now();
  return () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
}

/** @param {string[]} args */
function git(...args) {
  try {
    return execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trimEnd();
  } catch {
    return null;
  }
}
