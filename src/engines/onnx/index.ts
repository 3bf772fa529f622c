import type { EngineEntry } from '../engine.js';

export const engineEntry: EngineEntry = {
  name: 'onnx',
  description: 'not written yet',
  probe: async () => ({ available: false, reason: 'not written yet' }),
  create: async () => {
    throw new Error('not written yet');
  },
};
