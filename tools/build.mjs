/** The build without anything to read: node tools/build.mjs. What fails is still told. */
import { build } from 'tsdown';

await build({ logLevel: 'error' });
