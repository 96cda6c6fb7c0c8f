// @ts-check
/**
 * The fences of src/: which file may know what, and how large things may grow. Run by test/contract/fences.test.ts,
 * or by hand: `node tools/fences.mjs`. Test files are exempt: they may look at anything.
 */
import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { foldersOnDisk, readLayout, readSources } from './source.mjs';

/** @typedef {import('./source.mjs').SourceFile} SourceFile */
/** @typedef {{ rule: string, file: string, line: number, message: string }} Violation */
/** @typedef {{ specifier: string, line: number }} Import */
/** @typedef {SourceFile & { ast: ts.SourceFile, imports: Import[] }} Parsed */

/** Lines. Change a number in the commit that needs it, with the reason. */
export const BUDGETS = { engine: 6000, src: 28000, file: 500, method: 250 };

export const ENGINE = ['base', 'formats', 'graph', 'nn', 'onnx', 'session', 'update'];

const PLATFORM_FILES = /^(hub\/|cli\/|base\/files-node\.ts$|session\/node\.ts$|session\/[a-z-]+-node\.ts$)/;
const PLATFORM_GLOBALS = new Set(['process', 'console', 'fetch', 'Buffer']);

/** Folders whose files each own their names, and the files in them that may list all names. */
const NAMED = /^(methods|encoders)\/(?!(?:index|registry|families)\.ts$)[^/]+\.ts$/;
const REGISTRY = /^(methods|encoders)\/(index|registry|families)\.ts$/;
const NAME_KEYS = new Set(['name', 'names', 'aliases']);
/** Method names that are also everyday words of this code: a literal of them says nothing about who is meant. */
const EVERYDAY = new Set(['full', 'head', 'none']);
/** Names with a second meaning: in Python's configurations `init_weights: "bert"` is a way to draw numbers. */
const HOMONYMS = /\binit_weights\b/;
/** Folders whose sub-folders are rooms: what lies beside the rooms is their common ground and knows none of them. */
const ROOMED = ['train'];

/**
 * @param {string} root folder that holds src/ and package.json
 * @returns {{ violations: Violation[], files: number, imports: number, names: string[], engineLines: number, srcLines: number }}
 */
export function checkFences(root) {
  const sources = readSources(root).filter((file) => !file.test);
  const files = sources.map(parse);
  const layout = readLayout(root);
  const owners = findNames(files);
  const engineLines = sum(sources.filter((file) => ENGINE.includes(file.folder)));
  const srcLines = sum(sources);
  const violations = [
    ...checkLayout(layout, foldersOnDisk(root)),
    ...files.flatMap((file) => [
      ...checkOrder(
        file,
        layout.map((row) => row.name),
      ),
      ...checkRooms(file),
      ...checkEngine(file),
      ...checkPlatform(file),
      ...checkLiterals(file, owners),
      ...checkState(file),
      ...checkDependencies(file, dependenciesOf(root)),
      ...checkFileSize(file),
    ]),
    ...checkCycles(files),
    ...checkTotal('src', srcLines, BUDGETS.src),
    ...checkTotal('engine', engineLines, BUDGETS.engine),
  ];
  return {
    violations,
    files: files.length,
    imports: files.flatMap((file) => file.imports).length,
    names: [...owners.keys()],
    engineLines,
    srcLines,
  };
}

/** @param {Violation} violation */
export function describe({ rule, file, line, message }) {
  return `${file}:${line} [${rule}] ${message}`;
}

/**
 * @param {{ name: string, line: number, later: boolean }[]} layout
 * @param {string[]} folders
 * @returns {Violation[]}
 */
function checkLayout(layout, folders) {
  const readme = 'src/README.md';
  const listed = layout.map((row) => row.name);
  return [
    ...layout.flatMap((row, i) =>
      listed.indexOf(row.name) === i ? [] : [problem('layout', readme, row.line, `${row.name}/ is listed twice`)],
    ),
    ...layout
      .filter((row) => row.later === folders.includes(row.name))
      .map((row) =>
        problem(
          'layout',
          readme,
          row.line,
          row.later ? `${row.name}/ is marked (later) but exists` : `${row.name}/ is listed but does not exist`,
        ),
      ),
    ...folders
      .filter((name) => !listed.includes(name))
      .map((name) => problem('layout', readme, 1, `src/${name}/ exists but is not listed`)),
  ];
}

/**
 * @param {Parsed} file
 * @param {string[]} order
 * @returns {Violation[]}
 */
function checkOrder(file, order) {
  if (file.folder === '') return [];
  const rank = order.indexOf(file.folder);
  return file.imports.flatMap(({ specifier, line }) => {
    if (specifier === 'multigraft' || specifier.startsWith('multigraft/'))
      return [at(file, 'order', line, 'imports the package by its own name')];
    const target = resolve(file, specifier);
    if (target === undefined) return [];
    const folder = target.includes('/') ? target.slice(0, target.indexOf('/')) : '';
    if (folder === file.folder || (folder !== '' && order.includes(folder) && order.indexOf(folder) < rank)) return [];
    const wrong =
      folder === '' || folder === '..' ? `${specifier} lies outside the folders of src/` : `${file.folder}/ may not import ${folder}/`;
    return [at(file, 'order', line, wrong)];
  });
}

/**
 * A room may import the common ground and itself; only the folder's index.ts may look into all rooms.
 * @param {Parsed} file
 * @returns {Violation[]}
 */
function checkRooms(file) {
  const { folder, path } = file;
  if (!ROOMED.includes(folder) || path === `${folder}/index.ts`) return [];
  const own = roomOf(path);
  return file.imports.flatMap(({ specifier, line }) => {
    const target = resolve(file, specifier);
    const room = target?.startsWith(`${folder}/`) ? roomOf(target) : folder;
    return room === folder || room === own ? [] : [at(file, 'room', line, `${own}/ may not import ${room}/`)];
  });
}

/** @param {string} path relative to src/ */
function roomOf(path) {
  return dirname(path).split('/').slice(0, 2).join('/');
}

/**
 * @param {Parsed} file
 * @returns {Violation[]}
 */
function checkEngine(file) {
  if (!ENGINE.includes(file.folder)) return [];
  return file.imports.flatMap(({ specifier, line }) => {
    const folder = resolve(file, specifier)?.split('/')[0];
    return folder === undefined || ENGINE.includes(folder) ? [] : [at(file, 'engine', line, `the engine may not know ${folder}/`)];
  });
}

/**
 * @param {Parsed} file
 * @returns {Violation[]}
 */
function checkPlatform(file) {
  if (PLATFORM_FILES.test(file.path)) return [];
  const modules = file.imports
    .filter(({ specifier }) => isBuiltin(specifier) || specifier.startsWith('onnxruntime-'))
    .map(({ specifier, line }) => at(file, 'platform', line, `imports ${specifier}`));
  return [...modules, ...freeNames(file.ast).map(({ name, line }) => at(file, 'platform', line, `uses the global ${name}`))];
}

/**
 * @param {Parsed} file
 * @param {Map<string, Set<string>>} owners
 * @returns {Violation[]}
 */
function checkLiterals(file, owners) {
  if (REGISTRY.test(file.path)) return [];
  const lines = file.text.split('\n');
  return literals(file.ast).flatMap(({ text, line }) => {
    const own = owners.get(text);
    return own === undefined || own.has(file.path) || HOMONYMS.test(lines[line - 1] ?? '')
      ? []
      : [at(file, 'literal', line, `writes '${text}', a name of src/${[...own].join(', src/')}`)];
  });
}

/**
 * @param {Parsed} file
 * @returns {Violation[]}
 */
function checkState(file) {
  return file.ast.statements.flatMap((statement) => {
    if (!ts.isVariableStatement(statement) || (statement.declarationList.flags & ts.NodeFlags.Const) !== 0) return [];
    if (statement.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.DeclareKeyword)) return [];
    return [at(file, 'state', lineOf(file.ast, statement), 'a variable of the module that can change; pass state in instead')];
  });
}

/**
 * @param {Parsed} file
 * @param {string[]} dependencies
 * @returns {Violation[]}
 */
function checkDependencies(file, dependencies) {
  return file.imports.flatMap(({ specifier, line }) => {
    if (specifier.startsWith('.') || isBuiltin(specifier)) return [];
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
    return name === 'multigraft' || dependencies.includes(name)
      ? []
      : [at(file, 'dependency', line, `${name} is not among the dependencies of package.json`)];
  });
}

/**
 * @param {Parsed} file
 * @returns {Violation[]}
 */
function checkFileSize(file) {
  const limit = file.folder === 'methods' ? BUDGETS.method : BUDGETS.file;
  return file.lines <= limit ? [] : [at(file, 'size', limit + 1, `${file.lines} lines; the limit is ${limit}`)];
}

/**
 * @param {string} what
 * @param {number} lines
 * @param {number} limit
 * @returns {Violation[]}
 */
function checkTotal(what, lines, limit) {
  return lines <= limit ? [] : [problem('size', 'tools/fences.mjs', 1, `${what} has ${lines} lines; the budget is ${limit}`)];
}

/**
 * Strongly connected files (Tarjan's algorithm); each cycle is reported once, at its first import.
 * @param {Parsed[]} files
 * @returns {Violation[]}
 */
function checkCycles(files) {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const targets = (/** @type {Parsed} */ file) =>
    file.imports.flatMap((entry) => {
      const target = byPath.get(resolve(file, entry.specifier) ?? '');
      return target ? [{ target, line: entry.line }] : [];
    });
  /** @type {Map<Parsed, { index: number, low: number, open: boolean }>} */
  const seen = new Map();
  /** @type {Parsed[]} */
  const stack = [];
  /** @type {Violation[]} */
  const violations = [];
  const visit = (/** @type {Parsed} */ file) => {
    const mark = { index: seen.size, low: seen.size, open: true };
    seen.set(file, mark);
    stack.push(file);
    for (const { target } of targets(file)) {
      const known = seen.get(target);
      if (known === undefined) mark.low = Math.min(mark.low, visit(target).low);
      else if (known.open) mark.low = Math.min(mark.low, known.index);
    }
    if (mark.low === mark.index) {
      const ring = stack.splice(stack.indexOf(file));
      for (const member of ring) /** @type {{ open: boolean }} */ (seen.get(member)).open = false;
      const back = targets(file).find(({ target }) => ring.includes(target));
      if (back)
        violations.push(
          at(file, 'cycle', back.line, `files import each other in a ring: ${ring.map((member) => `src/${member.path}`).join(', ')}`),
        );
    }
    return mark;
  };
  for (const file of files) if (!seen.has(file)) visit(file);
  return violations;
}

/**
 * Names owned by a method's or family's file: the strings under `name`, `names`, `aliases` of an exported constant,
 * and the keys under `presets`.
 * @param {Parsed[]} files
 * @returns {Map<string, Set<string>>}
 */
function findNames(files) {
  /** @type {Map<string, Set<string>>} */
  const owners = new Map();
  for (const file of files.filter((candidate) => NAMED.test(candidate.path))) {
    for (const property of file.ast.statements.flatMap(exportedProperties)) {
      for (const name of namesIn(property)) {
        if (!EVERYDAY.has(name)) owners.set(name, (owners.get(name) ?? new Set()).add(file.path));
      }
    }
  }
  return owners;
}

/**
 * The properties of `export const x = { … }` and `export const x = define({ … })`.
 * @param {ts.Statement} statement
 * @returns {ts.PropertyAssignment[]}
 */
function exportedProperties(statement) {
  if (!ts.isVariableStatement(statement) || !statement.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword))
    return [];
  return statement.declarationList.declarations.flatMap(({ initializer }) => {
    const value = initializer && bare(initializer);
    const object = value && ts.isCallExpression(value) && value.arguments[0] ? bare(value.arguments[0]) : value;
    return object && ts.isObjectLiteralExpression(object) ? object.properties.filter(ts.isPropertyAssignment) : [];
  });
}

/**
 * @param {ts.PropertyAssignment} property
 * @returns {string[]}
 */
function namesIn(property) {
  const key = ts.isIdentifier(property.name) ? property.name.text : '';
  const value = bare(property.initializer);
  if (key === 'presets' && ts.isObjectLiteralExpression(value))
    return value.properties.flatMap(({ name }) => (name && (ts.isIdentifier(name) || ts.isStringLiteral(name)) ? [name.text] : []));
  if (!NAME_KEYS.has(key)) return [];
  return (ts.isArrayLiteralExpression(value) ? [...value.elements] : [value]).filter(ts.isStringLiteral).map((item) => item.text);
}

/**
 * Without `as` and `satisfies`.
 * @param {ts.Expression} value
 * @returns {ts.Expression}
 */
function bare(value) {
  return ts.isAsExpression(value) || ts.isSatisfiesExpression(value) ? bare(value.expression) : value;
}

/** @param {ts.SourceFile} ast */
function literals(ast) {
  /** @type {{ text: string, line: number }[]} */
  const found = [];
  walk(ast, (node) => {
    const key = ts.isPropertyAssignment(node) && ts.isIdentifier(node.name) ? node.name : undefined;
    if (key) found.push({ text: key.text, line: lineOf(ast, key) });
    if (ts.isStringLiteralLike(node)) found.push({ text: node.text, line: lineOf(ast, node) });
  });
  return found;
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

/**
 * @param {SourceFile} file
 * @returns {Parsed}
 */
function parse(file) {
  const ast = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2023, true);
  /** @type {Import[]} */
  const imports = [];
  walk(ast, (node) => {
    const specifier = specifierOf(node);
    if (specifier && ts.isStringLiteralLike(specifier)) imports.push({ specifier: specifier.text, line: lineOf(ast, specifier) });
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
 * A relative specifier as a path relative to src/; undefined for packages.
 * @param {SourceFile} file
 * @param {string} specifier
 */
function resolve(file, specifier) {
  if (!specifier.startsWith('.')) return undefined;
  return join(dirname(file.path), specifier).split('\\').join('/');
}

/** @param {string} specifier */
function isBuiltin(specifier) {
  return specifier.startsWith('node:') || builtinModules.includes(specifier);
}

/** @param {string} root */
function dependenciesOf(root) {
  return Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies ?? {});
}

/**
 * @param {ts.Node} node
 * @param {(node: ts.Node) => void} visitor
 */
function walk(node, visitor) {
  visitor(node);
  ts.forEachChild(node, (child) => walk(child, visitor));
}

/**
 * @param {ts.SourceFile} ast
 * @param {ts.Node} node
 */
function lineOf(ast, node) {
  return ast.getLineAndCharacterOfPosition(node.getStart(ast)).line + 1;
}

/** @param {{ lines: number }[]} files */
function sum(files) {
  return files.reduce((total, file) => total + file.lines, 0);
}

/**
 * @param {SourceFile} file
 * @param {string} rule
 * @param {number} line
 * @param {string} message
 */
function at(file, rule, line, message) {
  return problem(rule, `src/${file.path}`, line, message);
}

/**
 * @param {string} rule
 * @param {string} file
 * @param {number} line
 * @param {string} message
 * @returns {Violation}
 */
function problem(rule, file, line, message) {
  return { rule, file, line, message };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { violations, files, imports } = checkFences(join(dirname(fileURLToPath(import.meta.url)), '..'));
  for (const violation of violations) console.error(describe(violation));
  console.log(`${files} files, ${imports} imports, ${violations.length} violations`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
