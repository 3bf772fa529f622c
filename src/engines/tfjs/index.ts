import type { EngineEntry } from '../engine.js';
import { describeBackend, findBackend } from './backend.js';

export const engineEntry: EngineEntry = {
  name: 'tfjs',
  description: 'TensorFlow.js: the reference, written for reading; slow without its native library',
  probe: async () => ({ available: true, device: describeBackend(findBackend()) }),
  create: async (options) => (await import('./tfjsEngine.js')).createTfjsEngine(options),
};
