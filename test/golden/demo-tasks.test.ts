import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { majorityScore } from '../../src/metrics/index.ts';
import { checkTask, loadRows, loadTask, type Row } from '../../src/tasks/index.ts';

const names = readdirSync('assets/tasks');
