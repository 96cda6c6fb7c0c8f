// @ts-check
import ts from 'typescript';
import { at, lineOf } from './tree.mjs';

/**
 * Nothing at the top of a module may change after loading.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkState({ files }) {
  return files.flatMap((file) =>
    file.ast.statements.flatMap((statement) => {
      if (!ts.isVariableStatement(statement) || (statement.declarationList.flags & ts.NodeFlags.Const) !== 0) return [];
      if (statement.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.DeclareKeyword)) return [];
      return [at(file, 'state', lineOf(file.ast, statement), 'a variable of the module that can change; pass state in instead')];
    }),
  );
}
