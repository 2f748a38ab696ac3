/** The profiler: what this gateway is and has, and what of that is news. */
export { createCapabilityFinder, PROBES, type Probe } from './capabilities.ts';
export { createFactsFolder, type FactsFolder } from './facts-folder.ts';
export { diskSpace, memorySpace } from './platform.ts';
export { createProfiler, type Profiler, type ProfilerOptions } from './profiler.ts';
export { createServerClock, type ServerClock } from './server-clock.ts';
export { diffPatch, newsOf } from './steady.ts';
export { systemFiles } from './system-files.ts';
