import { fail, nearest } from '../base/index.ts';
import { add, cast, erf, gelu, greater, max, min, mul, relu, scalar, sigmoid, softplus, sub, tanh, type Value } from '../graph/index.ts';

type Activation = (x: Value) => Value;

const tanhGelu: Activation = (x) => {
  const inner = mul(add(x, mul(mul(mul(x, x), x), scalar(0.044715))), scalar(Math.sqrt(2 / Math.PI)));
  return mul(mul(x, scalar(0.5)), add(tanh(inner), scalar(1)));
};
const silu: Activation = (x) => mul(x, sigmoid(x));
const leaky: Activation = (x) => {
  const positive = cast(greater(x, scalar(0)), 'float32');
  return mul(x, add(mul(positive, scalar(0.99)), scalar(0.01)));
};
/** The normal distribution function with the mean and deviation that make it close to relu² (Ma et al. 2022). */
const laplace: Activation = (x) =>
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: the mean as published and as Python has it, to six digits
  mul(add(erf(mul(sub(x, scalar(0.707107)), scalar(1 / (0.282095 * Math.SQRT2)))), scalar(1)), scalar(0.5));
const squared = (x: Value) => mul(x, x);

/** Activation functions under the names that Hugging Face configurations use (and the alias `leakyrelu` of `adapters`). */
export const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu,
  gelu_python: gelu,
  gelu_10: (x) => max(min(gelu(x), scalar(10)), scalar(-10)),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_accurate: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_python_tanh: tanhGelu,
  quick_gelu: (x) => mul(x, sigmoid(mul(x, scalar(1.702)))),
  relu,
  relu2: (x) => squared(relu(x)),
  relu6: (x) => min(relu(x), scalar(6)),
  leaky_relu: leaky,
  leakyrelu: leaky,
  sigmoid,
  silu,
  swish: silu,
  tanh,
  mish: (x) => mul(x, tanh(softplus(x))),
  linear: (x) => x,
  laplace,
};

export function isActivation(name: string): boolean {
  return Object.hasOwn(ACTIVATIONS, name.toLowerCase());
}

/** Throws `code` naming the nearest known activation. `prelu` and `xielu`, which are trainable, are not among them. */
export function activation(name: string, code: 'encoder.config' | 'method.config' | 'head.config'): Activation {
  const found = Object.hasOwn(ACTIVATIONS, name.toLowerCase()) ? ACTIVATIONS[name.toLowerCase()] : undefined;
  if (found) return found;
  const near = nearest(name, Object.keys(ACTIVATIONS));
  return fail({
    code,
    subject: 'activation function',
    found: `'${name}'`,
    expected: `one of ${Object.keys(ACTIVATIONS).join(', ')}`,
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}
