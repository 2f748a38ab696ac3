import { makePackage } from './testing/made-package.ts';
import { createFloor } from './bench/floor.ts';
import { findNginx, startNginx } from './bench/nginx.ts';
const made = makePackage('1.0.0', 60000);
const signal = AbortSignal.timeout(60000);
const nginx = await findNginx();
await using floor = await createFloor((files) => startNginx(nginx ?? '', files, signal), { deployment: made.deployment(1, 'x'), package: made.bytes });
for (let i = 0; i < 5; i++) {
  const cpu = process.cpuUsage(); const t = performance.now();
  const run = await floor.run('push', 1000, signal);
  const used = process.cpuUsage(cpu);
  console.log((performance.now() - t).toFixed(0), 'ms, cpu user', used.user / 1000, 'sys', used.system / 1000, 'nginx', run.serverCpuSeconds);
}
