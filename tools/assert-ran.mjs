// @ts-check
/**
 * Adds up vitest's JSON reports and holds them to what a complete run is: `node tools/assert-ran.mjs report.json…`.
 * Prints "N passed, N failed, N skipped"; exits with 1 when nothing ran, when a file could not be loaded, or when `../shared`
 * is there and the tests that need it (test/real/) did not all run. A failed test is vitest's own to refuse.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {{ name: string, status: string, assertionResults: { fullName: string, status: string }[] }} FileResult */
/** @typedef {{ testResults: FileResult[] }} Report */

/**
 * @param {Report[]} reports
 * @param {boolean} shared whether the folder with real data and models is there
 * @returns {{ passed: number, failed: number, skipped: number, problems: string[] }}
 */
export function judge(reports, shared) {
  const files = reports.flatMap((report) => report.testResults);
  const tests = files.flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: file.name })));
  const count = (/** @type {string[]} */ ...statuses) => tests.filter((test) => statuses.includes(test.status)).length;
  // A file that cannot be loaded has no tests to fail, and yet it fails.
  const broken = files.filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'));
  const [passed, failed] = [count('passed'), count('failed') + broken.length];
  const real = tests.filter((test) => test.file.replaceAll('\\', '/').includes('/test/real/'));
  const idle = real.filter((test) => test.status !== 'passed' && test.status !== 'failed');
  const problems = [
    ...(passed === 0 ? ['no test ran'] : []),
    ...(shared && real.length === 0 ? ['../shared is there, but no test of test/real/ ran'] : []),
    ...(shared ? idle.map((test) => `../shared is there, but this was skipped: ${test.fullName}`) : []),
    ...broken.map((file) => `could not be loaded: ${file.name}`),
  ];
  return { passed, failed, skipped: tests.length - count('passed', 'failed'), problems };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const shared = existsSync(join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'shared'));
  const { passed, failed, skipped, problems } = judge(
    process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8'))),
    shared,
  );
  for (const problem of problems) console.error(problem);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
