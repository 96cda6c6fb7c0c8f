export { type Built, describeEncoders, describeMethods, type EncoderEntry, type MethodEntry } from './catalogue.ts';
export { type InspectedPart, type Inspection, inspectPath } from './inspect.ts';
