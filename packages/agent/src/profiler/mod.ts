/** The profiler: what this gateway is and has. */
export { findCapabilities, PROBES, type Probe } from './capabilities.ts';
export { diskSpace } from './platform.ts';
export { createProfiler, diffPatch, newsOf, type Profiler, type ProfilerOptions } from './profiler.ts';
