/** The main job with a real node and LEONORE's own agent, by pull and by push. */
import { describe } from 'node:test';
import { mainJob } from './main-job.ts';

for (const strategy of ['pull', 'push'] as const) {
  describe(`by ${strategy}`, () => mainJob(strategy));
}
