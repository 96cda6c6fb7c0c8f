export { LORA } from './lora.ts';
export { parseGrammar } from './grammar.ts';
export { type AdapterLayout, type Method, type MethodConfig, type MethodContext, adapterPath, loraPath } from './method.ts';
export { type ConfiguredMethod, configureMethod, DEFAULT_METHOD, METHODS, methodNames, methodOfConfig } from './registry.ts';
