// @ts-check
/** What all fences look at: the files of src/ with what they import, and what README.md and package.json say of them. */
import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { foldersOnDisk, readLayout, readSources } from '../source.mjs';

/** @typedef {import('../source.mjs').SourceFile} SourceFile */
/** @typedef {{ rule: string, file: string, line: number, message: string }} Violation */
/** `target` is a path relative to src/, undefined for packages. @typedef {{ specifier: string, line: number, target: string | undefined }} Import */
/** @typedef {SourceFile & { ast: ts.SourceFile, imports: Import[] }} Parsed */
/** @typedef {{ files: Parsed[], layout: ReturnType<typeof readLayout>, folders: string[], dependencies: string[] }} Tree */

/**
 * Test files are left out: they may look at anything.
 * @param {string} root folder that holds src/ and package.json
 * @returns {Tree}
 */
export function readTree(root) {
  const { dependencies = {}, imports = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const aliases = new Map(Object.entries(imports).map(([name, targets]) => [name, sourceOf(Object.values(targets))]));
  const files = readSources(root)
    .filter((file) => !file.test)
    .map((file) => parse(file, aliases));
  return { files, layout: readLayout(root), folders: foldersOnDisk(root), dependencies: Object.keys(dependencies) };
}

/**
 * The file of src/ among the targets of a name in the `imports` of package.json.
 * @param {string[]} targets
 */
function sourceOf(targets) {
  return targets.find((target) => target.startsWith('./src/'))?.slice('./src/'.length);
}

/**
 * @param {SourceFile} file
 * @param {ReadonlyMap<string, string | undefined>} aliases
 * @returns {Parsed}
 */
function parse(file, aliases) {
  const ast = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2023, true);
  /** @type {Import[]} */
  const imports = [];
  walk(ast, (node) => {
    const named = specifierOf(node);
    if (!named || !ts.isStringLiteralLike(named)) return;
    const specifier = named.text;
    const target = specifier.startsWith('.') ? join(dirname(file.path), specifier).split('\\').join('/') : aliases.get(specifier);
    imports.push({ specifier, line: lineOf(ast, named), target });
  });
  return { ...file, ast, imports };
}

/**
 * What `import`, `import type`, `export … from`, `import()` and `import('…').Type` name.
 * @param {ts.Node} node
 * @returns {ts.Node | undefined}
 */
function specifierOf(node) {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return node.argument.literal;
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return node.arguments[0];
  return undefined;
}

/**
 * @param {ts.Node} node
 * @param {(node: ts.Node) => void} visitor
 */
export function walk(node, visitor) {
  visitor(node);
  ts.forEachChild(node, (child) => walk(child, visitor));
}

/**
 * @param {ts.SourceFile} ast
 * @param {ts.Node} node
 */
export function lineOf(ast, node) {
  return ast.getLineAndCharacterOfPosition(node.getStart(ast)).line + 1;
}

/** @param {string} specifier */
export function isBuiltin(specifier) {
  return specifier.startsWith('node:') || builtinModules.includes(specifier);
}

/** @param {string} path relative to src/ */
export function folderOf(path) {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
}

/**
 * @param {SourceFile} file
 * @param {string} rule
 * @param {number} line
 * @param {string} message
 */
export function at(file, rule, line, message) {
  return problem(rule, `src/${file.path}`, line, message);
}

/**
 * @param {string} rule
 * @param {string} file
 * @param {number} line
 * @param {string} message
 * @returns {Violation}
 */
export function problem(rule, file, line, message) {
  return { rule, file, line, message };
}
