import { expect, it } from 'vitest';
import { judge } from '../../tools/assert-ran.mjs';

const file = (name: string, ...statuses: string[]) => ({
  name: `/x/${name}`,
  status: statuses.includes('failed') ? 'failed' : 'passed',
  assertionResults: statuses.map((status, i) => ({ fullName: `${name} ${i}`, status })),
});
const unit = file('src/a.test.ts', 'passed', 'passed', 'pending');

it('adds up what passed, failed and was skipped', () => {
  const reports = [{ testResults: [unit, file('src/b.test.ts', 'failed', 'todo')] }, { testResults: [unit] }];
  expect(judge(reports, false)).toEqual({ passed: 4, failed: 1, skipped: 3, problems: [] });
});

it('counts a file that could not be loaded as a failure', () => {
  const broken = { ...file('src/c.test.ts'), status: 'failed' };
  expect(judge([{ testResults: [unit, broken] }], false)).toMatchObject({ failed: 1, problems: ['could not be loaded: /x/src/c.test.ts'] });
});

it('wants the real tests to have run when their data is there', () => {
  const real = file('test/real/m.test.ts', 'passed', 'pending');
  expect(judge([{ testResults: [unit] }], true).problems).toEqual(['../shared is there, but no test of test/real/ ran']);
  expect(judge([{ testResults: [unit, real] }], true).problems).toEqual([
    '../shared is there, but this was skipped: test/real/m.test.ts 1',
  ]);
  expect(judge([{ testResults: [unit, real] }], false).problems).toEqual([]);
  expect(judge([{ testResults: [unit, file('test/real/m.test.ts', 'passed')] }], true).problems).toEqual([]);
});

it('wants at least one test', () => {
  expect(judge([{ testResults: [] }], false).problems).toEqual(['no test ran']);
});
