// @ts-check
import ts from 'typescript';
import { at, isBuiltin, lineOf, walk } from './tree.mjs';

/** Files made for one platform. All others reach them through `#platform` of package.json, which names those of the platform in use. */
const PLATFORM_FILES = /^(cli\/|base\/files-node\.ts$|session\/node\.ts$|session\/[a-z-]+-node\.ts$)/;
/** What Node has and other platforms lack or, as timers, have with other meanings. `pause` of base/ waits without them. */
const PLATFORM_GLOBALS = new Set(['process', 'console', 'fetch', 'Buffer', 'setImmediate', 'setInterval', 'setTimeout']);

/**
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkPlatform({ files }) {
  return files
    .filter((file) => !PLATFORM_FILES.test(file.path))
    .flatMap((file) => [
      ...file.imports.filter(isOfPlatform).map(({ specifier, line }) => at(file, 'platform', line, `imports ${specifier}`)),
      ...freeNames(file.ast).map(({ name, line }) => at(file, 'platform', line, `uses the global ${name}`)),
    ]);
}

/** @param {import('./tree.mjs').Import} entry */
function isOfPlatform({ specifier, target }) {
  if (specifier.startsWith('#')) return false;
  return isBuiltin(specifier) || specifier.startsWith('onnxruntime-') || (target !== undefined && PLATFORM_FILES.test(target));
}

/**
 * Uses of a platform's globals that no declaration of the file explains.
 * @param {ts.SourceFile} ast
 */
function freeNames(ast) {
  const declared = new Set();
  /** @type {{ name: string, line: number }[]} */
  const used = [];
  walk(ast, (node) => {
    if (!ts.isIdentifier(node) || !PLATFORM_GLOBALS.has(node.text)) return;
    const parent = node.parent;
    if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
      if (ts.isIdentifier(parent.expression) && parent.expression.text === 'globalThis')
        used.push({ name: node.text, line: lineOf(ast, node) });
      return;
    }
    if ('name' in parent && parent.name === node && !ts.isShorthandPropertyAssignment(parent)) {
      const binds = ts.isVariableDeclaration(parent) || ts.isParameter(parent) || ts.isFunctionDeclaration(parent);
      if (binds || ts.isBindingElement(parent) || ts.isImportSpecifier(parent)) declared.add(node.text);
      return;
    }
    if ('propertyName' in parent && parent.propertyName === node) return;
    used.push({ name: node.text, line: lineOf(ast, node) });
  });
  return used.filter(({ name }) => !declared.has(name));
}
