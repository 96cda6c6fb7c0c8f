const WIDER = '[reduction_factor=8]';

/**
 * Settings without which a preset can't be on tiny encoders, or a parameter of it has nothing to do there: of one up-projection no share
 * can be taken, and into four parts no single number. Blocks of 32 numbers with random entries of 0.3 are no rotations any more.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  mtl_lora: '[n_up_projection=2]',
  compacter: WIDER,
  'compacter++': WIDER,
  oft: '[oft_block_size=8]',
  road: '[group_size=8]',
  miss: '[r=4]',
  shira: '[r=4]',
  modules_to_save: "[modules=['output']]",
  fourierft: '[n_frequency=60]',
};

/** A preset as it can be on a tiny encoder. */
export function settled(name: string): string {
  return `${name}${SETTINGS[name] ?? ''}`;
}
