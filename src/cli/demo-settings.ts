/** How the demonstration trains: the seedling's 192 hidden units divided by the usual 16 would leave 12. */
export const DEMO = { method: 'seq_bn[reduction_factor=2]', epochs: 8, fastEpochs: 3, learningRate: 2e-3 } as const;
