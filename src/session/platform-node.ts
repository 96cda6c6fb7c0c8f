/** What `#platform` of package.json is on Node: where files are and who computes unless the caller says otherwise. */
export { nodeFiles, nodeFiles as defaultFiles } from '../base/files-node.ts';
export { type NodeEngineOptions, nodeEngine, nodeEngine as defaultEngine } from './node.ts';
