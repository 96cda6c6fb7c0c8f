// @ts-check
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {{ path: string, folder: string, text: string, lines: number, test: boolean }} SourceFile */

/**
 * Every TypeScript file under `<root>/src`, sorted by path. `path` is relative to src/ with `/`;
 * `folder` is its first part, '' for files directly in src/.
 * @param {string} root
 * @returns {SourceFile[]}
 */
export function readSources(root) {
  const entries = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => {
      const path = file
        .slice(join(root, 'src').length + 1)
        .split('\\')
        .join('/');
      const text = readFileSync(file, 'utf8');
      return {
        path,
        folder: path.includes('/') ? path.slice(0, path.indexOf('/')) : '',
        text,
        lines: countLines(text),
        test: path.endsWith('.test.ts'),
      };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Folders of src/ whose sub-folders are rooms of their own; what lies beside them is one more. */
export const ROOMED = ['train'];

/**
 * The room that a file belongs to: its folder, or in a folder with rooms the sub-folder ('train/fusion'); '' directly in src/.
 * @param {string} path relative to src/
 */
export function roomOf(path) {
  const [folder = '', ...rest] = path.split('/').slice(0, -1);
  return [folder, ...(ROOMED.includes(folder) ? rest.slice(0, 1) : [])].join('/');
}

/** @param {readonly { lines: number }[]} files */
export function totalLines(files) {
  return files.reduce((lines, file) => lines + file.lines, 0);
}

/**
 * The folders of src/ on disk that hold a file: git knows no others.
 * @param {string} root
 * @returns {string[]}
 */
export function foldersOnDisk(root) {
  return readdirSync(join(root, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && holdsFile(join(root, 'src', entry.name)))
    .map((entry) => entry.name)
    .sort();
}

/**
 * The table of src/README.md: rows that begin with `| \`name/\` |`. A row whose text begins with "(later)" has no folder yet.
 * @param {string} root
 * @returns {{ name: string, line: number, later: boolean }[]}
 */
export function readLayout(root) {
  const lines = readFileSync(join(root, 'src', 'README.md'), 'utf8').split('\n');
  return lines.flatMap((line, i) => {
    const row = /^\|\s*`([a-z-]+)\/`\s*\|\s*(\(later\))?/.exec(line);
    return row ? [{ name: row[1] ?? '', line: i + 1, later: row[2] !== undefined }] : [];
  });
}

/** @param {string} folder */
function holdsFile(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).some((entry) => entry.isFile());
}

/** @param {string} text */
function countLines(text) {
  if (text === '') return 0;
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
