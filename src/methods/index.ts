export { parseGrammar } from './grammar.ts';
export { LORA } from './lora.ts';
export { type AdapterLayout, adapterPath, loraPath, type Method, type MethodConfig, type MethodContext, modules } from './method.ts';
export { type ConfiguredMethod, configureMethod, DEFAULT_METHOD, METHODS, methodNames, methodOfConfig } from './registry.ts';
