import { inOneLine, UserError } from '../../errors.js';
import type { EngineEntry } from '../engine.js';
import { describeBackend, findBackend } from './backend.js';

export const engineEntry: EngineEntry = {
  name: 'tfjs',
  description: 'TensorFlow.js: the reference, written for reading; slow without its native library',
  probe: async () => {
    try {
      return { available: true, device: describeBackend(findBackend()) };
    } catch (error) {
      if (error instanceof UserError) return { available: false, reason: inOneLine(error) };
      throw error;
    }
  },
  create: async (options) => (await import('./tfjsEngine.js')).createTfjsEngine(options),
};
