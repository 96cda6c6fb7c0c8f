export { checkGradient, type GradientCase, type GradientReport, projection, type Tolerance } from './gradient-check.ts';
