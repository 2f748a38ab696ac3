/** The version of this command line, of which its package.json is the source. */
import manifest from '../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;
