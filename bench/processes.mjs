// @ts-check
/** Processes to measure: workers that answer commands line by line, and commands run once. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** How often the highest memory of a command is read. */
const POLL_MS = 100;

/**
 * @typedef {Record<string, any>} Answer
 * @typedef {{ ready: Answer, ask: (command: string) => Promise<Answer>, quit: () => Promise<void> }} Worker
 */

/**
 * Starts a worker and waits until it is ready.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<Worker>}
 */
export async function startWorker(command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const errors = collect(child.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args.join(' ')} ended:\n${errors()}`);
    const answer = /** @type {Answer} */ (JSON.parse(value));
    if (answer.error) throw new Error(`${command} ${args.join(' ')}: ${answer.error}`);
    return answer;
  };
  return {
    ready: await next(),
    async ask(word) {
      child.stdin.write(`${word}\n`);
      return next();
    },
    async quit() {
      if (child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end('quit\n');
      await ended;
    },
  };
}

/**
 * Runs a command to its end. `peakMB` is the highest resident memory of the process, null where the system does not
 * say. Throws with the command's error output when it fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<{ ms: number, peakMB: number | null, stdout: string }>}
 */
export async function runProcess(command, args) {
  const start = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors] = [collect(child.stdout), collect(child.stderr)];
  /** @type {number | null} */
  let peakMB = null;
  const timer = setInterval(() => {
    peakMB = peakMegabytes(child.pid) ?? peakMB;
  }, POLL_MS);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).finally(() => clearInterval(timer));
  const ms = performance.now() - start;
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} exited with ${code}:\n${errors()}`);
  return { ms, peakMB, stdout: output() };
}

/** @param {number | undefined} pid */
function peakMegabytes(pid) {
  const path = `/proc/${pid}/status`;
  if (!existsSync(path)) return null;
  try {
    const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(path, 'utf8'))?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) / 1024;
  } catch {
    // Ended between the two lines.
    return null;
  }
}

/** @param {import('node:stream').Readable} stream */
function collect(stream) {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  return () => text;
}
