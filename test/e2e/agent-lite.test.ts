/** The main job of every agent, brought to its end by agent-lite in each shell. They wait more than they work: all at once. */
import { describe } from 'node:test';
import { liteShells } from './lite-shells.ts';
import { mainJob } from './main-job.ts';

const shells = await liteShells();

describe('agent-lite', { concurrency: true }, () => {
  for (const { name, program, skip } of shells.filter((one) => one.mainJob)) {
    describe(`in ${name}`, { skip, concurrency: 1 }, () => mainJob('pull', program));
  }
});
