export * from '#platform';
export { referenceEngine } from './reference.ts';
export { type Engine, type Feeds, type FileWeight, isFileWeight, type Session, type Weights } from './session.ts';
