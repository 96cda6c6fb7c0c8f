import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { memoryFiles } from '../base/files.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { type Commands, runProgram } from './program.ts';

const greet = defineCommand({
  name: 'greet',
  summary: 'say hello',
  arguments: ['who'],
  schema: z.object({ who: z.string().describe('name'), times: z.number().int().default(1).describe('how often') }),
  async run(context, { who, times }) {
    context.stdout(context.json ? JSON.stringify({ who, times }) : `hello ${who}`.repeat(times));
  },
});

const broken = defineCommand({
  name: 'broken',
  summary: 'fail',
  arguments: ['how'],
  schema: z.object({ how: z.array(z.string()).default([]).describe('ways') }),
  async run(context, { how }) {
    if (how.includes('signal')) throw new Error(`stopped: ${context.signal.aborted}`);
    if (how.includes('file')) fail({ code: 'file.missing', subject: 'a.json', next: 'Check the path.' });
    throw new TypeError('x is undefined', { cause: new Error('deeper') });
  },
});

async function run(line: string, more: Partial<CommandContext> = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const loaded: string[] = [];
  const load = (command: typeof greet) => async () => {
    loaded.push(command.name);
    return command;
  };
  const commands: Commands = { greet: load(greet), broken: load(broken) };
  const world = {
    files: memoryFiles(),
    stdout: (text: string) => void out.push(text),
    stderr: (text: string) => void err.push(text),
    stdin: async () => new Uint8Array(),
    isTTY: false,
    signal: new AbortController().signal,
  };
  Object.defineProperties(world, Object.getOwnPropertyDescriptors(more));
  const code = await runProgram(line === '' ? [] : line.split(' '), commands, world, '1.2.3');
  return { code, out: out.join('\n'), err: err.join('\n'), loaded };
}

describe('the program', () => {
  it('runs a command and loads no other', async () => {
    expect(await run('greet you --times 2')).toEqual({ code: 0, out: 'hello youhello you', err: '', loaded: ['greet'] });
  });

  it('takes --json before and after the command', async () => {
    const expected = { code: 0, out: '{"who":"you","times":1}', err: '', loaded: ['greet'] };
    expect(await run('--json greet you')).toEqual(expected);
    expect(await run('greet you --json')).toEqual(expected);
  });

  it.each(['', 'help', '--help', '-h'])('shows its help for "%s"', async (line) => {
    const { code, out, err } = await run(line);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/greet .*say hello/);
    expect(out).toMatch(/broken .*fail/);
  });

  it.each(['greet --help', 'help greet', 'greet -h'])('shows the help of a command for "%s"', async (line) => {
    const { code, out } = await run(line);
    expect(code).toBe(0);
    expect(out).toMatch(/--times <number> +how often \(default: 1\)/);
    expect(out).toMatch(/--debug/);
  });

  it('prints its version', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, out: '1.2.3' });
  });

  it('does not take over Ctrl-C unless the command reads the signal', async () => {
    let reads = 0;
    const world = {
      get signal() {
        reads++;
        return AbortSignal.abort();
      },
    };
    expect((await run('greet you', world)).code).toBe(0);
    expect(reads).toBe(0);
    expect((await run('broken signal', world)).err).toContain('stopped: true');
    expect(reads).toBe(1);
  });

  it.each([
    ['gret you', 'multigraft: gret: found an unknown command; expected one of greet, broken. Did you mean multigraft greet?'],
    ['toString', 'multigraft: toString: found an unknown command; expected one of greet, broken. See multigraft --help.'],
    ['greet you --time 2', 'multigraft: multigraft greet --time: found an unknown flag. Did you mean --times?'],
    ['greet you --colour=red', 'multigraft: multigraft greet --colour=red: found an unknown flag. See multigraft greet --help.'],
    ['--jsn', 'multigraft: multigraft --jsn: found an unknown flag. Did you mean --json?'],
    ['--debug', 'multigraft: multigraft: found no command; expected a command. See multigraft --help.'],
    ['greet', 'multigraft: multigraft greet: found no <text>; expected one. See multigraft greet --help.'],
    ['greet you --times', 'multigraft: --times: found nothing after it; expected a value: --times <number>. See multigraft greet --help.'],
    ['greet you all', 'multigraft: multigraft greet: found one more argument, "all"; expected 1 argument. See multigraft greet --help.'],
    ['greet you --times x', 'multigraft: --times: found "x"; expected an integer.'],
  ])('refuses "%s" in one line, with code 2', async (line, message) => {
    expect(await run(line)).toMatchObject({ code: 2, out: '', err: message });
  });

  it('ends with 1 and one line for what is wrong with a file', async () => {
    expect(await run('broken file twice')).toMatchObject({ code: 1, out: '', err: 'multigraft: a.json. Check the path.' });
  });

  it('gives errors as JSON with --json', async () => {
    const { code, out, err } = await run('broken file --json');
    expect({ code, out, err: JSON.parse(err) }).toEqual({
      code: 1,
      out: '',
      err: { error: { code: 'file.missing', message: 'a.json. Check the path.' } },
    });
  });

  it('shows the stack of a defect, and of its cause, only with --debug', async () => {
    expect(await run('broken')).toMatchObject({
      code: 1,
      err: 'multigraft: internal error: x is undefined (run again with --debug for the place)',
    });
    const { code, err } = await run('broken --debug');
    expect(code).toBe(1);
    expect(err).toMatch(/^multigraft: internal error: x is undefined\nTypeError: x is undefined\n +at .*program\.test\.ts/);
    expect(err).toMatch(/caused by: Error: deeper\n +at/);
  });
});
