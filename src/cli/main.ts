#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { nodeFiles } from '../base/files-node.ts';
import { commands } from './commands.ts';
import { runProgram, type World } from './program.ts';

/** Milliseconds that a command has to stop in good order. */
const GRACE = 10_000;

// A reader that closes early (`multigraft … | head`) has what it wanted: end quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
process.exitCode = await runProgram(process.argv.slice(2), commands, createWorld(), version);

function createWorld(): World {
  let signal: AbortSignal | undefined;
  return {
    files: nodeFiles,
    stdout: (text) => void process.stdout.write(`${text}\n`),
    stderr: (text) => void process.stderr.write(`${text}\n`),
    stdin: readStdin,
    isTTY: process.stderr.isTTY === true,
    get signal() {
      signal ??= onInterrupt();
      return signal;
    },
  };
}

async function readStdin(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** Aborts at the first SIGINT or SIGTERM; a second one, or {@link GRACE} without an end, ends the process. */
function onInterrupt(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) endNow('at the second signal');
    setTimeout(() => endNow(`${GRACE / 1000} s after the signal`), GRACE).unref();
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

function endNow(when: string): never {
  const message = `Ended ${when}, in the middle of its work. Where the command has --resume, that goes on from the last state that was saved.`;
  const line = process.argv.includes('--json') ? JSON.stringify({ error: { code: 'train.stopped', message } }) : `multigraft: ${message}`;
  process.stderr.write(`${line}\n`);
  process.exit(1);
}
